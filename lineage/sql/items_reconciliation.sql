-- items_reconciliation: every cell of level {level} ('' = each) of the last run over its day, its kind its level; and of
-- L1, for each business day in the journal without a run of any level, cells that were not reconciled.
SELECT
    'cell' AS entity,
    concat(kind, '/', toString(business_date), '/', channel, '/', provider, '/', about, '/', currency) AS entity_id,
    toFixedString('', 16) AS correlation_id,
    channel,
    '' AS location,
    provider,
    kind,
    '' AS owner,
    multiIf(run_us = 0, 'not reconciled',
            unexplained_minor = 0, '',
            concat('unexplained ', toString(unexplained_minor), if(reason = '', '', concat(': ', reason)))) AS reason,
    abs(unexplained_minor) AS amount_minor,
    currency,
    1 AS weight,
    toInt64(0) AS spoil_at_us,
    toInt64(toUnixTimestamp(toDateTime(business_date + 1, {zone:String}))) * 1000000 AS start_us,
    if(unexplained_minor = 0, run_us, 0) AS end_us,
    toInt64(0) AS stop_us,
    if(told_due_us != 0, told_due_us,
       {rule_tables:Array(Array(Int64))}[1][toInt64(business_date) - {first_day:Int64} + 1] * 1000000) AS due_us
FROM
(
    SELECT
        business_date,
        channel,
        provider,
        toString(level) AS kind,
        concat(recon_items.kind, if(location = '', '', concat('/', location)),
               if(legal_entity = '', '', concat('/', legal_entity))) AS about,
        currency,
        unexplained_minor,
        recon_items.reason AS reason,
        toUnixTimestamp64Micro(due_at) AS told_due_us,
        toUnixTimestamp64Micro(reconciled_at) AS run_us
    FROM recon_items FINAL
    WHERE {level:String} IN ('', level) AND recon_items.kind != '' AND (level, business_date, reconciled_at) IN (
        SELECT level, business_date, max(reconciled_at)
        FROM recon_items
        WHERE {level:String} IN ('', level) AND reconciled_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
        GROUP BY level, business_date)
    UNION ALL
    SELECT business_date, toString(channel) AS channel, '' AS provider, 'L1' AS kind, '' AS about,
           toString(currency) AS currency, toInt64(0) AS unexplained_minor, '' AS reason, toInt64(0) AS told_due_us, toInt64(0) AS run_us
    FROM journal_days
    WHERE since <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC') AND business_date >= {first_date:Date}
      AND {level:String} IN ('', 'L1')
    GROUP BY business_date, channel, currency
    HAVING business_date NOT IN (
        SELECT business_date FROM recon_items WHERE reconciled_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC'))
)
WHERE start_us <= {now_us:Int64}
