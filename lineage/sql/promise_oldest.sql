-- promise_oldest: since when the oldest item of {build} is overdue and open, by segment.
SELECT
    0, 0, channel, location, provider, kind, currency, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, min(due), 0, 0, 0
FROM
(
    SELECT channel, location, provider, kind, currency, decided_us - lasted_us + given_us AS due
    FROM promise_items
    WHERE build = {build:UInt64} AND open AND verdict = 'bad'
    GROUP BY
        correlation_id, entity, entity_id, verdict, open, spoiled, finished, over, decided_us, lasted_us, given_us,
        finish_after_us, closed_after_us, channel, location, provider, kind, owner, amount_minor, currency, weight
    HAVING sum(copies) > 0
)
GROUP BY channel, location, provider, kind, currency
