-- promise_added_up: what happened of {build} on each local day.
INSERT INTO promise_days
SELECT
    {build:UInt64}, day, channel, location, provider, kind, currency,
    good, bad, excused, refused, opened, closed, overdue_in, overdue_out, amount_in, amount_out
FROM
(
/*days*/
)
