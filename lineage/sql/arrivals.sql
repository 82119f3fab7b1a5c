-- arrivals: how many rows of each kind of fact ever came, and when the newest of it happened.
SELECT fact, sum(arrived), toUnixTimestamp64Micro(max(newest_at))
FROM arrivals
GROUP BY fact
