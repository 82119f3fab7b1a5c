"""What is wrong with a transaction: where it broke, why, since when, whose it is."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from dash import html
from dash.development.base_component import Component

from dashboards import wording
from dashboards.elements import facts, mark, moment, section
from dashboards.elements import money as shown_money
from dashboards.wording import State
from lineage.model import Finding, FindingKind

KINDS: Final[dict[FindingKind, State]] = {
    "failed": State("Failed", "cross", "bad"),
    "stuck": State("Stuck", "pause", "bad"),
    "overdue": State("Overdue", "clock", "bad"),
    "out_of_order": State("Out of order", "warning", "warn"),
    "missing": State("Never came", "question", "bad"),
}


def findings(found: Sequence[Finding], now: datetime) -> Component | None:
    if not found:
        return None
    note = "First cause first" if len(found) > 1 else None
    return section("What is wrong", html.Ul([_finding(one, now) for one in found], className="findings"), note=note)


def _finding(one: Finding, now: datetime) -> Component:
    return html.Li(
        [
            html.Div([mark(KINDS[one.kind]), html.B(wording.sentence(one.title)), shown_money(one.amount)
                      if one.amount else None], className="finding-head"),
            html.P(wording.sentence(wording.plain(one.cause))) if one.cause else None,
            facts(
                [
                    ("Broke at", one.stage),
                    ("Since", moment(one.since, now)),
                    ("Was due", moment(one.due_at, now) if one.due_at else ""),
                    ("Attempts", f"{one.attempts:,}" if one.attempts > 1 else ""),
                    ("Owner", one.owner or "nobody"),
                ],
                css="facts row",
            ),
        ]
    )  # fmt: skip
