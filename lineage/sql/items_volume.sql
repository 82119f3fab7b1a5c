-- items_volume: each hour of each source, and whether more of what it sent was sent again, or played again, than allowed.
SELECT
    'hour' AS entity,
    object_id AS entity_id,
    toFixedString('', 16) AS correlation_id,
    '' AS channel,
    '' AS location,
    source AS provider,
    '' AS kind,
    '' AS owner,
    arrayStringConcat(arrayMap(name -> concat(toString(arrayMax(arrayMap(one -> one.1 = name ? one.2 : 0, told))), ' ',
                                              name), {names:Array(String)}), ', ')
        || ' of ' || toString(accepted) AS reason,
    toInt64(0) AS amount_minor,
    '' AS currency,
    1 AS weight,
    toInt64(0) AS spoil_at_us,
    begin_us AS start_us,
    begin_us + 3600000000 AS due_us,
    toInt64(0) AS stop_us,
    {now_us:Int64} < due_us ? 0 : due_us + arrayExists(
        (name, share) -> arrayMax(arrayMap(one -> one.1 = name ? one.2 : 0, told))
            > greatest(share * accepted, {floor:Float64}),
        {names:Array(String)}, {shares:Array(Float64)}) AS end_us
FROM
(
    SELECT
        entity_id AS object_id,
        any(provider) AS source,
        toUnixTimestamp64Micro(min(occurred_at)) AS begin_us,
        maxIf(quantity, milestone = {start:String}) AS accepted,
        groupUniqArray((milestone, quantity)) AS told
    FROM milestones
    WHERE entity = {start_entity:String}
        AND (milestone = {start:String} OR milestone IN {names:Array(String)})
        AND occurred_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
    GROUP BY object_id
)
