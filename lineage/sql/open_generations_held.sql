-- open_generations_held: every generation of which something is stored.
SELECT DISTINCT generation
FROM open_items
