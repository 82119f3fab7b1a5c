-- items_backlog: for each moment of {instants} and segment, whether too many items were overdue then, or too old ones.
SELECT
    'backlog' AS entity,
    concat(formatDateTime(fromUnixTimestamp64Micro(instant_us, 'UTC'), '%Y-%m-%dT%H:%i', {zone:String}), '/', channel,
           '/', provider, '/', kind, '/', currency) AS entity_id,
    toFixedString('', 16) AS correlation_id,
    channel,
    '' AS location,
    provider,
    kind,
    '' AS owner,
    concat(toString(overdue_then), ' of ', toString(counted), ' overdue, ', toString(too_old), ' of them too old')
        AS reason,
    worth AS amount_minor,
    currency,
    1 AS weight,
    toInt64(0) AS spoil_at_us,
    instant_us AS start_us,
    -- what was too much is over a moment later: each day counts by itself
    instant_us + (overdue_then > {allowed_share:Float64} * counted OR too_old > 0) AS end_us,
    toInt64(0) AS stop_us,
    instant_us AS due_us
FROM
(
    SELECT
        seen.1 AS instant_us,
        channel,
        provider,
        kind,
        currency,
        countIf(seen.2 = 'counted') AS counted,
        countIf(seen.2 != 'counted') AS overdue_then,
        countIf(seen.2 = 'too old') AS too_old,
        sumIf(amount_minor, seen.2 != 'counted') AS worth
    FROM
    (
/*backlogged*/
    )
    ARRAY JOIN arrayConcat(
        arrayMap(
            (instant, oldest) -> (instant, due_us <= oldest ? 'too old' : 'overdue'),
            arrayFilter((instant, oldest) -> due_us < instant AND (closed_us = 0 OR closed_us > instant),
                        {instants:Array(Int64)}, {oldest:Array(Int64)}),
            arrayFilter((oldest, instant) -> due_us < instant AND (closed_us = 0 OR closed_us > instant),
                        {oldest:Array(Int64)}, {instants:Array(Int64)})),
        arrayMap(instant -> (instant, 'counted'),
                 arrayFilter(instant -> start_us <= instant AND start_us > instant - {length_us:Int64},
                             {instants:Array(Int64)}))) AS seen
    WHERE verdict NOT IN ('excused', 'refused')
    GROUP BY instant_us, channel, provider, kind, currency
)
