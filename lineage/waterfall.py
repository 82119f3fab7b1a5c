"""Spans of one technical trace in the order of a waterfall."""

from collections.abc import Iterator, Sequence

from lineage.model import Trace, TraceEvent, TraceSpan
from lineage.rows import TraceRow, moment

_ERROR = 2  # OpenTelemetry status code


def waterfall(trace_id: str, rows: Sequence[TraceRow]) -> Trace:
    """A parent before its children, siblings by start. ``rows`` must not be empty."""
    started_us = min(row.start_us for row in rows)
    known = {row.span_id for row in rows}
    spans = tuple(_walk(sorted(rows, key=lambda row: (row.start_us, row.span_id)), started_us, known))
    return Trace(
        trace_id=trace_id,
        started_at=moment(started_us),
        duration_us=max(row.end_us for row in rows) - started_us,
        services=tuple(sorted({row.service for row in rows})),
        failed=sum(span.failed for span in spans),
        orphans=sum(span.orphan for span in spans),
        spans=spans,
    )


def _walk(rows: Sequence[TraceRow], started_us: int, known: set[str]) -> Iterator[TraceSpan]:
    """Depth first without recursion: a trace may be deeper than the interpreter's stack."""
    children: dict[str, list[TraceRow]] = {}
    for row in rows:
        children.setdefault(row.parent_span_id, []).append(row)
    seen: set[str] = set()
    # Spans that name each other as parents hang below no root; they come last.
    for root in sorted(rows, key=lambda row: row.parent_span_id in known):
        waiting = [(root, 0)]
        while waiting:
            row, depth = waiting.pop()
            if row.span_id not in seen:
                seen.add(row.span_id)
                yield _span(row, depth, started_us, known)
                waiting += [(child, depth + 1) for child in reversed(children.get(row.span_id, ()))]


def _span(row: TraceRow, depth: int, started_us: int, known: set[str]) -> TraceSpan:
    return TraceSpan(
        span_id=row.span_id,
        parent_span_id=row.parent_span_id,
        depth=depth,
        name=row.name,
        service=row.service,
        started_at=moment(row.start_us),
        offset_us=row.start_us - started_us,
        duration_us=row.end_us - row.start_us,
        failed=row.status_code == _ERROR or row.outcome in ("failed", "rejected", "dead_letter"),
        message=row.status_message,
        outcome=row.outcome,
        correlation_id=row.correlation_id,
        orphan=bool(row.parent_span_id) and row.parent_span_id not in known,
        attrs=row.attrs,
        events=tuple(TraceEvent(at=moment(event.at_us), name=event.name, attrs=event.attrs) for event in row.events),
    )
