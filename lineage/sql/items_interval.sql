-- items_interval: everything that reached {start} of {start_entity}, with the time by which all {ends} were reached.
SELECT
    {start_entity:String} AS entity,
    begun.object_id AS entity_id,
    begun.correlation_id AS correlation_id,
    begun.channel AS channel,
    begun.location AS location,
    begun.provider AS provider,
    begun.owner AS owner,
    '' AS reason,
    begun.amount_minor AS amount_minor,
    begun.currency AS currency,
    begun.start_us AS start_us,
    if((finished.first_us != 0) + (finished.second_us != 0) + (finished.third_us != 0) = length({ends:Array(String)}),
       greatest(finished.first_us, finished.second_us, finished.third_us), 0) AS end_us,
    begun.stop_us AS stop_us,
    indexOf({rule_channels:Array(String)}, begun.channel) + 1 AS rule,
    multiIf(
        {due_from_hop:UInt8} AND begun.hop_due_us != 0, begun.hop_due_us,
        empty({rule_tables:Array(Array(Int64))}[rule]),
        begun.start_us + {rule_seconds:Array(Int64)}[rule] * 1000000,
        ({rule_shifts:Array(UInt8)}[rule] ? begun.start_us : 0)
            + {rule_tables:Array(Array(Int64))}[rule][toInt64(begun.local_day) - {first_day:Int64} + 1] * 1000000
    ) AS due_us
FROM
(
    SELECT
        entity_id AS object_id,
        correlation_id,
        argMaxIf(channel, occurred_at, milestone = {start:String}) AS channel,
        argMaxIf(location, occurred_at, milestone = {start:String}) AS location,
        argMaxIf(provider, occurred_at, milestone = {start:String}) AS provider,
        argMaxIf(owner, occurred_at, milestone = {start:String}) AS owner,
        argMaxIf(amount_minor, occurred_at, milestone = {start:String}) AS amount_minor,
        argMaxIf(currency, occurred_at, milestone = {start:String}) AS currency,
        argMaxIf(outcome, occurred_at, milestone = {start:String}) AS outcome,
        toUnixTimestamp64Micro(argMaxIf(due_at, occurred_at, milestone = {start:String})) AS hop_due_us,
        toUnixTimestamp64Micro(minIf(occurred_at, milestone = {start:String})) AS start_us,
        toUnixTimestamp64Micro(minIf(occurred_at, milestone IN {stops:Array(String)})) AS stop_us,
        toDate(minIf(occurred_at, milestone = {start:String}), {zone:String}) AS local_day
    FROM milestones
    WHERE entity = {start_entity:String}
        AND (milestone = {start:String} OR milestone IN {stops:Array(String)})
        AND occurred_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
        AND NOT arrayExists(prefix -> startsWith(entity_id, prefix), {not_prefixes:Array(String)})
    GROUP BY object_id, correlation_id
    HAVING countIf(milestone = {start:String}) > 0 AND ({parked_too:UInt8} OR outcome != 'parked')
) AS begun
LEFT JOIN
(
    -- an end that is not asked for is named '' and never reached
    SELECT
        correlation_id,
        if({any_object:UInt8}, '', substring(entity_id, length({id_prefix:String}) + 1)) AS object_id,
        toUnixTimestamp64Micro(minIf(occurred_at, milestone = {ends:Array(String)}[1])) AS first_us,
        toUnixTimestamp64Micro(minIf(occurred_at, milestone = {ends:Array(String)}[2])) AS second_us,
        toUnixTimestamp64Micro(minIf(occurred_at, milestone = {ends:Array(String)}[3])) AS third_us
    FROM milestones
    WHERE entity = {end_entity:String}
        AND milestone IN {ends:Array(String)}
        AND startsWith(entity_id, {id_prefix:String})
        AND occurred_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
    GROUP BY correlation_id, object_id
) AS finished
    ON finished.correlation_id = begun.correlation_id
    AND finished.object_id = if({any_object:UInt8}, '', begun.object_id)
