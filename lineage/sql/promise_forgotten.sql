-- promise_forgotten: of the transactions {first_id} to {last_id}, the items of {build} whose beginning is stored no more
-- lose their number: what they did on which day stays, one still open is over at {now_us}, one not yet due is taken out.
INSERT INTO promise_changes
SELECT
    {generation:UInt64}, build, moved.1 AS about_id, entity, moved.2 AS about, verdict, moved.3 AS is_open, spoiled,
    finished, moved.4 AS is_over, decided_us, lasted_us, given_us, finish_after_us, moved.5 AS over_after_us,
    channel, location, provider, kind, owner, amount_minor, currency, weight, sum(moved.6) AS net
FROM promise_items
ARRAY JOIN [
    (correlation_id, entity_id, open, over, closed_after_us, -copies),
    (toFixedString('', 16), '', toUInt8(0), toUInt8(over OR open), open ? {now_us:Int64} - decided_us : closed_after_us,
     verdict = 'pending' ? 0 : copies)] AS moved
WHERE build = {build:UInt64}
    AND correlation_id >= toFixedString(unhex({first_id:String}), 16)
    AND correlation_id <= toFixedString(unhex({last_id:String}), 16)
    AND entity_id != ''
    AND (correlation_id, entity_id) NOT IN (
        SELECT correlation_id, entity_id
        FROM milestones
        WHERE entity = {start_entity:String} AND milestone = {start:String}
            AND correlation_id >= toFixedString(unhex({first_id:String}), 16)
            AND correlation_id <= toFixedString(unhex({last_id:String}), 16))
GROUP BY
    build, about_id, entity, about, verdict, is_open, spoiled, finished, is_over, decided_us, lasted_us, given_us,
    finish_after_us, over_after_us, channel, location, provider, kind, owner, amount_minor, currency, weight
HAVING net != 0
