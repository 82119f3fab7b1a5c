-- events_told: of the spans of the transactions {ids} the events that tell of milestones and corrections. The
-- names of events are read first: those of a settlement are ten thousand links.
SELECT
    lower(hex(correlation_id)),
    lower(hex(span_id)),
    arrayFilter(
        event -> event.2 IN ('milestone', 'correction'),
        arrayMap((at, name, attrs) -> (toUnixTimestamp64Micro(at), name, attrs), events.at, events.name, events.attrs)
    )
FROM spans
PREWHERE correlation_id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16))
    AND (has(events.name, 'milestone') OR has(events.name, 'correction'))
LIMIT {most:UInt32}
