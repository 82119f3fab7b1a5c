"""The spans of one technical trace: what ran where, for how long, and what it said."""

from typing import Final

from dash import html
from dash.development.base_component import Component

from dashboards import wording
from dashboards.elements import Child, aria, facts, fold, icon, section
from lineage.model import Trace, TraceSpan

DRAWN: Final = 300
OUTCOMES_WELL: Final = frozenset({"", "ok", "replayed"})


def waterfall(trace: Trace) -> Component:
    wrong = f", {wording.count(trace.failed, 'failed span')}" if trace.failed else ""
    orphans = f"{wording.count(trace.orphans, 'span names', 'spans name')} a parent that never came. "
    cut = f"The first {DRAWN} of {len(trace.spans):,} spans are drawn." if len(trace.spans) > DRAWN else ""
    return section(
        "Technical trace",
        html.Ol([_span(one, trace) for one in trace.spans[:DRAWN]], className="waterfall"),
        html.P([orphans if trace.orphans else "", cut], className="more") if trace.orphans or cut else None,
        note=f"{wording.count(len(trace.spans), 'span')} in {wording.latency(trace.duration_us)}{wrong}, "
             f"{', '.join(trace.services)}",
    )  # fmt: skip


def _span(one: TraceSpan, trace: Trace) -> Component:
    whole = trace.duration_us or 1
    bad = one.failed or one.outcome not in OUTCOMES_WELL
    bar = html.Span(
        html.Span(className="wf-bar bad" if bad else "wf-bar",
                  style={"left": f"{100 * one.offset_us / whole:.2f}%",
                         "width": f"{max(0.5, 100 * one.duration_us / whole):.2f}%"}),
        className="wf-track", **aria(hidden="true"),
    )  # fmt: skip
    head: list[Child] = [
        html.Span([icon("cross") if bad else None, one.name], className="wf-name",
                  style={"paddingLeft": f"{min(one.depth, 12) * 14}px"}),
        bar,
        html.Span(wording.latency(one.duration_us), className="figure"),
    ]  # fmt: skip
    said = facts(
        [("Service", one.service), ("Outcome", wording.outcome(one.outcome).word if one.outcome else ""),
         ("Said", one.message), ("Began", wording.exact(one.started_at)), ("Span", html.Code(one.span_id)),
         *[(name, html.Code(value)) for name, value in sorted(one.attrs.items())],
         *[(f"Event {event.name}", html.Code(" ".join(f"{key}={value}" for key, value in event.attrs.items())))
           for event in one.events]],
        css="facts keys",
    )  # fmt: skip
    return html.Li(fold(html.Span(head, className="wf-row"), said, css="wf-span"))
