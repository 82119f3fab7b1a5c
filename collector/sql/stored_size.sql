-- stored_size says how many spans are stored and how many bytes all tables of this database take.
SELECT
    (SELECT count() FROM spans) AS spans,
    sum(bytes_on_disk) AS bytes
FROM system.parts
WHERE active AND database = currentDatabase()
