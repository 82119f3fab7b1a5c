-- events_told: of the spans of the transactions {ids} the events that tell of milestones and corrections. The
-- names of events are read first: those of a settlement are ten thousand links.
SELECT
    lower(hex(correlation_id)),
    lower(hex(span_id)),
    arrayMap(
        event -> (toUnixTimestamp64Micro(event.at), event.name, event.attrs),
        arrayFilter(event -> event.name IN ('milestone', 'correction'), events)
    )
FROM spans
PREWHERE correlation_id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16))
    AND (has(events.name, 'milestone') OR has(events.name, 'correction'))
LIMIT {most:UInt32}
