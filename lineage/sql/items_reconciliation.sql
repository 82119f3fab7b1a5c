-- items_reconciliation: every cell of level {level} ('' = each) of any run over its day, its kind its level; and of L1,
-- for each business day in the journal without a run of any level, cells that were not reconciled. A cell is reconciled
-- by the first run since which it agreed: a run that states it again does not make it late, and one that finds a
-- difference again makes it bad as of its deadline. A run that has not got the cell any more finds nothing on either side.
SELECT
    'cell' AS entity,
    concat(kind, '/', toString(business_date), '/', channel, '/', provider, '/', about, '/', currency) AS entity_id,
    toFixedString('', 16) AS correlation_id,
    channel,
    '' AS location,
    provider,
    kind,
    '' AS owner,
    multiIf(NOT compared, 'not reconciled',
            unexplained_minor = 0, '',
            concat('unexplained ', toString(unexplained_minor), if(why = '', '', concat(': ', why)))) AS reason,
    abs(unexplained_minor) AS amount_minor,
    currency,
    1 AS weight,
    toInt64(0) AS spoil_at_us,
    toInt64(toUnixTimestamp(toDateTime(business_date + 1, {zone:String}))) * 1000000 AS start_us,
    agreed_us AS end_us,
    toInt64(0) AS stop_us,
    if(told_due_us != 0, told_due_us,
       {rule_tables:Array(Array(Int64))}[1][toInt64(business_date) - {first_day:Int64} + 1] * 1000000) AS due_us
FROM
(
    SELECT
        business_date, channel, provider, kind, about, currency, true AS compared, told_due_us,
        arrayMin(arrayFilter(run -> run > differed_us AND run >= first_us, runs)) AS agreed_us,
        agreed_us = 0 ? last_minor : 0 AS unexplained_minor,
        agreed_us = 0 ? last_reason : '' AS why
    FROM
    (
        SELECT
            level, business_date,
            toString(channel) AS channel,
            toString(provider) AS provider,
            toString(level) AS kind,
            concat(recon_items.kind, if(location = '', '', concat('/', location)),
                   if(legal_entity = '', '', concat('/', legal_entity))) AS about,
            toString(currency) AS currency,
            toUnixTimestamp64Micro(min(reconciled_at)) AS first_us,
            toUnixTimestamp64Micro(maxIf(reconciled_at, recon_items.unexplained_minor != 0)) AS differed_us,
            argMax(recon_items.unexplained_minor, reconciled_at) AS last_minor,
            argMax(recon_items.reason, reconciled_at) AS last_reason,
            toUnixTimestamp64Micro(argMax(due_at, reconciled_at)) AS told_due_us
        FROM recon_items
        WHERE {level:String} IN ('', level) AND recon_items.kind != ''
            AND reconciled_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
        GROUP BY level, business_date, channel, provider, about, currency
    ) AS cells
    INNER JOIN
    (
        SELECT level, business_date, groupUniqArray(toUnixTimestamp64Micro(reconciled_at)) AS runs
        FROM recon_items
        WHERE {level:String} IN ('', level) AND reconciled_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
        GROUP BY level, business_date
    ) AS days USING (level, business_date)
    UNION ALL
    SELECT business_date, toString(channel), '', 'L1', '', toString(currency), false, toInt64(0), toInt64(0),
           toInt64(0), ''
    FROM journal_days
    WHERE since <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC') AND business_date >= {first_date:Date}
      AND {level:String} IN ('', 'L1')
    GROUP BY business_date, channel, currency
    HAVING business_date NOT IN (
        SELECT business_date FROM recon_items WHERE reconciled_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC'))
)
WHERE start_us <= {now_us:Int64}
