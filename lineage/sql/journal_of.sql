-- journal_of: the journal lines of the transaction {id}.
SELECT
    journal_id,
    line_no,
    account,
    amount_minor,
    currency,
    functional_minor,
    functional_currency,
    kind,
    quantity,
    source,
    business_date,
    toUnixTimestamp64Micro(occurred_at)
FROM journal_lines
PREWHERE correlation_id = toFixedString(unhex({id:String}), 16)
ORDER BY occurred_at, journal_id, line_no
LIMIT 1 BY journal_id, line_no
LIMIT {most:UInt32}
