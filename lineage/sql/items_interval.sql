-- items_interval: everything that reached {start} of {start_entity}, with when it ended, was stopped and was spoiled.
SELECT
    {start_entity:String} AS entity,
    begun.object_id AS entity_id,
    begun.correlation_id AS correlation_id,
    begun.channel AS channel,
    begun.location AS location,
    begun.provider AS provider,
    begun.kind AS kind,
    begun.owner AS owner,
    '' AS reason,
    begun.amount_minor AS amount_minor,
    begun.currency AS currency,
    {weighted:UInt8} ? greatest(begun.quantity, 0) : 1 AS weight,
    {weighted:UInt8} ? least(begun.spoiled_quantity, greatest(begun.quantity, 0)) : 1 AS spoiled_weight,
    begun.start_us AS start_us,
    begun.stop_us AS stop_us,
    begun.marks AS marks,
    begun.hop_due_us AS hop_due_us,
    arrayMin(arrayFilter(at -> at != 0, [begun.spoil_us, far.spoil_us])) AS spoil_at_us,
    arrayMin(arrayFilter(at -> at != 0, [
        (finished.first_us != 0) + (finished.second_us != 0) + (finished.third_us != 0) = {end_count:UInt8}
            ? greatest(finished.first_us, finished.second_us, finished.third_us) : 0,
        far.end_us])) AS end_us,
    indexOf({rule_keys:Array(String)}, multiIf({rule_by:String} = 'kind', begun.kind,
                                               {rule_by:String} = 'severity', begun.severity,
                                               begun.channel)) + 1 AS rule,
    toInt64(begun.local_day) - {first_day:Int64} + 1 AS day_no
FROM
(
    WITH toUnixTimestamp64Micro(occurred_at) * 2 + milestones.went_on AS stood
    SELECT
        entity_id AS object_id,
        correlation_id,
        argMaxIf(channel, stood, milestone = {start:String}) AS channel,
        argMaxIf(location, stood, milestone = {start:String}) AS location,
        argMaxIf(provider, stood, milestone = {start:String}) AS provider,
        argMaxIf(kind, stood, milestone = {start:String}) AS kind,
        argMaxIf(severity, stood, milestone = {start:String}) AS severity,
        argMaxIf(owner, stood, milestone = {start:String}) AS owner,
        argMaxIf(amount_minor, stood, milestone = {start:String}) AS amount_minor,
        argMaxIf(currency, stood, milestone = {start:String}) AS currency,
        argMaxIf(quantity, stood, milestone = {start:String}) AS quantity,
        argMaxIf(milestones.went_on, stood, milestone = {start:String}) AS begun_then,
        toUnixTimestamp64Micro(argMaxIf(due_at, stood, milestone = {start:String})) AS hop_due_us,
        toUnixTimestamp64Micro(minIf(occurred_at, milestone = {start:String})) AS start_us,
        toUnixTimestamp64Micro(minIf(occurred_at, milestone IN {stops:Array(String)})) AS stop_us,
        toUnixTimestamp64Micro(minIf(occurred_at, milestone IN {spoils:Array(String)})) AS spoil_us,
        arraySum(told -> told.2, groupUniqArrayIf((occurred_at, milestones.quantity),
                                                    milestone IN {spoils:Array(String)}))
            AS spoiled_quantity,
        groupUniqArrayIf((toUnixTimestamp64Micro(occurred_at),
                          toInt64(intDiv(indexOf({pauses:Array(String)}, milestone) - 1, 2)),
                          indexOf({pauses:Array(String)}, milestone) % 2),
                         milestone IN {pauses:Array(String)}) AS marks,
        toDate(minIf(occurred_at, milestone = {start:String}), {zone:String}) AS local_day
    FROM milestones
    WHERE entity = {start_entity:String}
        AND (milestone = {start:String} OR milestone IN {stops:Array(String)} OR milestone IN {spoils:Array(String)}
             OR milestone IN {pauses:Array(String)})
        AND occurred_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
        AND (entity, entity_id, correlation_id, milestone, occurred_at) NOT IN (
            SELECT entity, entity_id, correlation_id, milestone, occurred_at FROM corrections)
    GROUP BY object_id, correlation_id
    HAVING countIf(milestone = {start:String}) > 0
        AND ({parked_too:UInt8} OR begun_then)
        AND (empty({only_kinds:Array(String)}) OR kind IN {only_kinds:Array(String)})
) AS begun
LEFT JOIN
(
    -- an end that is not asked for is named '' and never reached
    SELECT
        correlation_id,
        substring(entity_id, length({id_prefix:String}) + 1) AS object_id,
        toUnixTimestamp64Micro(minIf(occurred_at, milestone = {ends:Array(String)}[1])) AS first_us,
        toUnixTimestamp64Micro(minIf(occurred_at, milestone = {ends:Array(String)}[2])) AS second_us,
        toUnixTimestamp64Micro(minIf(occurred_at, milestone = {ends:Array(String)}[3])) AS third_us
    FROM milestones
    WHERE entity = {end_entity:String}
        AND milestone IN {ends:Array(String)}
        AND startsWith(entity_id, {id_prefix:String})
        AND (entity, entity_id, correlation_id, milestone, occurred_at) NOT IN (
            SELECT entity, entity_id, correlation_id, milestone, occurred_at FROM corrections)
        AND occurred_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
    GROUP BY correlation_id, object_id
) AS finished
    ON finished.correlation_id = begun.correlation_id
    AND finished.object_id = begun.object_id
LEFT JOIN
(
    -- what ends or spoils an item on whatever object of its transaction
    SELECT
        correlation_id,
        toUnixTimestamp64Micro(minIf(occurred_at, has({far_ends:Array(String)}, concat(entity, '.', milestone))))
            AS end_us,
        toUnixTimestamp64Micro(minIf(occurred_at, has({far_spoils:Array(String)}, concat(entity, '.', milestone))
            AND (empty({spoiled_kinds:Array(String)}) OR kind IN {spoiled_kinds:Array(String)}))) AS spoil_us
    FROM milestones
    WHERE entity IN {far_entities:Array(String)}
        AND milestone IN {far_milestones:Array(String)}
        AND (entity, entity_id, correlation_id, milestone, occurred_at) NOT IN (
            SELECT entity, entity_id, correlation_id, milestone, occurred_at FROM corrections)
        AND occurred_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
    GROUP BY correlation_id
) AS far ON far.correlation_id = begun.correlation_id
