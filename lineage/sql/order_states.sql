-- order_states: of orders captured since {since_us}, by channel ('' = all): how many came to each state, how long they
-- stayed, how many are there now, and how many for longer than 95 of 100 that went on.
WITH
    fromUnixTimestamp64Micro({since_us:Int64}, 'UTC') AS since,
    fromUnixTimestamp64Micro({now_us:Int64}, 'UTC') AS present
SELECT
    by_channel,
    state,
    came,
    length(ages),
    if(isNaN(stayed[2]) OR has({ends:Array(String)}, state), 0, arrayCount(one -> one.1 > stayed[2], ages)),
    arrayMap(one -> toInt64(if(isNaN(one), -1, one)), stayed),
    oldest.1,
    lower(hex(oldest.2))
FROM
(
    SELECT
        arrayJoin(['', channel]) AS by_channel,
        state,
        toInt64(sum(came_here)) AS came,
        quantilesTDigestMerge(0.5, 0.95)(stays) AS stayed,
        groupArrayArray(ages_here) AS ages,
        arrayReduce('max', ages) AS oldest
    FROM
    (
        SELECT
            channel,
            {states:Array(String)}[stood.1] AS state,
            count() AS came_here,
            quantilesTDigestStateIf(0.5, 0.95)(stood.3, stood.3 >= 0) AS stays,
            groupArrayIf((dateDiff('second', stood.2, present), correlation_id), stood.1 = now_number) AS ages_here
        FROM
        (
            SELECT
                correlation_id,
                argMaxIf(milestones.channel, occurred_at, milestones.channel != '') AS channel,
                indexOf({states:Array(String)}, {state_of:Array(String)}[max(step)]) AS now_number,
                arraySort(groupArray((state_number, occurred_at))) AS told,
                arrayFilter((one, before) -> one.1 != before.1, told, arrayPushFront(arrayPopBack(told), (0, since)))
                    AS first_told,
                arrayMap((one, next) -> (one.1, one.2, if(one.1 = now_number OR next.1 = 0, -1, dateDiff(
                             'second', one.2, greatest(one.2, next.2)))),
                         first_told, arrayPushBack(arrayPopFront(first_told), (0, since))) AS stands
            FROM
            (
                SELECT
                    correlation_id, channel, occurred_at,
                    indexOf({reached:Array(String)}, concat(entity, '.', milestone)) AS step,
                    toUInt8(indexOf({states:Array(String)}, {state_of:Array(String)}[step])) AS state_number
                FROM milestones
                WHERE entity IN {entities:Array(String)} AND occurred_at > since AND occurred_at <= present AND step > 0
            ) AS milestones
            GROUP BY correlation_id
            HAVING min(step) = 1
        )
        ARRAY JOIN stands AS stood
        GROUP BY channel, state
    )
    GROUP BY by_channel, state
)
ORDER BY by_channel, state
