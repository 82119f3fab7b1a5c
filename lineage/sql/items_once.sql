-- items_once: items that are judged at their deadline: over by then, or when something spoiled them before.
SELECT
    * REPLACE (
        spoils ? spoil_at_us : 0 AS spoil_at_us,
        multiIf(spoils, greatest(spoil_at_us, start_us), due_us <= {now_us:Int64}, due_us, 0) AS end_us)
FROM
(
    SELECT *, spoil_at_us != 0 AND greatest(spoil_at_us, start_us) <= due_us AS spoils
    FROM
    (
/*dated*/
    )
)
