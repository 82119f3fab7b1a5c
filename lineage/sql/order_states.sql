-- order_states: of orders captured since {since_us}, by channel ('' = all): how many came to each state, how long they stayed, how many are there now, and how many for longer than 95 of 100 that went on.
WITH
    fromUnixTimestamp64Micro({since_us:Int64}, 'UTC') AS since,
    fromUnixTimestamp64Micro({now_us:Int64}, 'UTC') AS present
SELECT
    by_channel,
    state,
    toInt64(count()),
    toInt64(countIf(is_now)),
    toInt64(countIf(is_now AND usual >= 0 AND age > usual AND NOT has({ends:Array(String)}, state))),
    arrayMap(one -> toInt64(if(isNaN(one), -1, one)), quantilesTDigestIf(0.5, 0.95)(stay, stay >= 0)),
    toInt64(maxIf(age, is_now)),
    lower(hex(argMaxIf(correlation_id, age, is_now)))
FROM
(
    SELECT *, ifNotFinite(quantileTDigestIf(0.95)(stay, stay >= 0) OVER (PARTITION BY by_channel, state), -1) AS usual
    FROM
    (
        SELECT
            correlation_id,
            arrayJoin(['', channel]) AS by_channel,
            arrayJoin(arrayEnumerate(first_at)) AS place,
            states[place] AS state,
            state = now_state AS is_now,
            if(is_now OR place = length(first_at), -1, dateDiff('second', first_at[place], greatest(first_at[place], first_at[place + 1]))) AS stay,
            dateDiff('second', first_at[place], present) AS age
        FROM
        (
            SELECT
                correlation_id,
                argMax(milestones.channel, (milestones.channel != '', occurred_at)) AS channel,
                minMap(map(state_number, occurred_at)) AS came,
                arraySort(mapKeys(came)) AS numbers,
                arrayMap(number -> {states:Array(String)}[number], numbers) AS states,
                arrayMap(number -> came[number], numbers) AS first_at,
                {state_of:Array(String)}[max(step)] AS now_state
            FROM
            (
                SELECT
                    *,
                    indexOf({reached:Array(String)}, concat(entity, '.', milestone)) AS step,
                    indexOf({states:Array(String)}, {state_of:Array(String)}[step]) AS state_number
                FROM milestones
                WHERE entity IN {entities:Array(String)} AND occurred_at > since AND occurred_at <= present AND step > 0
            ) AS milestones
            GROUP BY correlation_id
            HAVING min(step) = 1
        )
    )
)
GROUP BY by_channel, state
ORDER BY by_channel, state
