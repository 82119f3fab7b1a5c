-- items_volume: each hour of each source, and whether more of what it sent was sent again, or played again, than allowed;
-- excused when it is no more than that without what was announced.
SELECT
    'hour' AS entity,
    object_id AS entity_id,
    toFixedString('', 16) AS correlation_id,
    '' AS channel,
    '' AS location,
    source AS provider,
    '' AS kind,
    '' AS owner,
    concat(arrayStringConcat(arrayMap((name, count) -> concat(toString(count), ' ', name), {names:Array(String)}, counts),
                             ', '),
           ' of ', toString(accepted),
           arrayStringConcat(arrayMap(one -> concat('; ', toString(one.1), ' announced by ', one.2), by_whom))) AS reason,
    toInt64(0) AS amount_minor,
    '' AS currency,
    1 AS weight,
    toInt64(0) AS spoil_at_us,
    begin_us AS start_us,
    begin_us + 3600000000 AS due_us,
    over AND above AND NOT above_unannounced ? due_us : 0 AS stop_us,
    over AND NOT stop_us ? due_us + above_unannounced : 0 AS end_us
FROM
(
    SELECT
        *,
        begin_us + 3600000000 <= {now_us:Int64} AS over,
        arrayExists((count, share) -> count > greatest(share * accepted, {floor:Float64}),
                    counts, {shares:Array(Float64)}) AS above,
        arrayExists((count, excused, share) -> count - excused > greatest(share * accepted, {floor:Float64}),
                    counts, excuses, {shares:Array(Float64)}) AS above_unannounced
    FROM
    (
        SELECT
            object_id,
            source,
            begin_us,
            accepted,
            arrayMap(name -> arrayMax(arrayMap(one -> one.1 = name ? one.2 : 0, told)), {names:Array(String)}) AS counts,
            arrayMap(name -> arraySum(arrayMap(one -> one.1 = name ? one.2 : 0, said)), {announced:Array(String)})
                AS excuses,
            arraySort(arrayMap(one -> (one.2, one.4), said)) AS by_whom
        FROM
        (
            SELECT
                entity_id AS object_id,
                any(provider) AS source,
                toUnixTimestamp64Micro(min(occurred_at)) AS begin_us,
                maxIf(quantity, milestone = {start:String}) AS accepted,
                groupUniqArrayIf((milestone, quantity), NOT has({announced:Array(String)}, milestone)) AS told,
                groupUniqArrayIf((milestone, quantity, correlation_id, why), has({announced:Array(String)}, milestone))
                    AS said
            FROM milestones
            LEFT ANY JOIN
            (
                -- a milestone does not say why it was reached, the hop that brought it there does
                SELECT correlation_id, entity_id, milestone, any(reason) AS why
                FROM spans
                WHERE milestone IN {announced:Array(String)} AND correlation_id IN (
                    SELECT correlation_id FROM milestones
                    WHERE entity = {start_entity:String} AND milestone IN {announced:Array(String)})
                GROUP BY correlation_id, entity_id, milestone
            ) AS announcements USING (correlation_id, entity_id, milestone)
            WHERE entity = {start_entity:String}
                AND (milestone = {start:String} OR milestone IN {names:Array(String)}
                     OR milestone IN {announced:Array(String)})
                AND occurred_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
            GROUP BY object_id
        )
    )
)
