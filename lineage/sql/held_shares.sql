-- held_shares: what is held up in all (''), and by channel, location, owner and cause; the largest shares first.
SELECT share.1, share.2, uniqExact(correlation_id) AS transactions, count(),
    sumMap(map(toString(currency), amount_minor)), min(since_us)
FROM
(
/*held*/
)
ARRAY JOIN
    [('', ''), ('channel', toString(channel)), ('location', toString(location)), ('owner', toString(owner)),
     ('cause', reason)] AS share
GROUP BY share
ORDER BY transactions DESC, share
LIMIT 100 BY share.1
