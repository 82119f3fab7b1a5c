"""What surrounds every page: the name, the search box, the lag of the core, light or dark."""

from datetime import datetime

import dash_mantine_components as dmc  # type: ignore[import-untyped]
from dash import dcc, html
from dash.development.base_component import Component

from dashboards import addresses, core_status, wording
from dashboards.core_status import CoreStatus
from dashboards.elements import Page, aria, icon, link, notice

REFRESH_MILLISECONDS = 15_000

PAGES = (
    ("Promises", addresses.promises()),
    ("Transactions", addresses.transaction("")),
    ("Orders", addresses.desk("orders")),
    ("Exceptions", addresses.desk("exceptions")),
    ("Inventory", addresses.desk("inventory")),
    ("Returns", addresses.desk("returns")),
    ("Reconciliation", addresses.desk("reconciliation")),
    ("Flow", addresses.desk("flow")),
    ("Alerts", addresses.desk("alerts")),
    ("Tour", addresses.tour()),
)


def frame() -> Component:
    whole: Component = dmc.MantineProvider(
        [
            dcc.Location(id="address", refresh="callback-nav"),
            dcc.Interval(id="tick", interval=REFRESH_MILLISECONDS),
            dcc.Store(id="shown"),
            dcc.Store(id="described"),
            dcc.Store(id="act"),
            dcc.Store(id="acted"),
            html.A("Skip to the content", href="#page", className="skip"),
            _header(),
            html.Div(id="trouble", role="status", className="trouble"),
            html.Div(id="told", role="status", className="told"),
            _form(),
            html.Main(_waiting(), id="page", tabIndex="-1"),
            html.Footer(
                [
                    html.P(id="read"),
                    html.P(
                        "Times are your computer's, with UTC under the pointer. Amounts are exact; currencies are "
                        "never added."
                    ),
                ]
            ),
        ],
        defaultColorScheme="auto",
    )
    return whole


def _header() -> Component:
    search = dmc.TextInput(
        id="search",
        placeholder="Look up an order, refund, journal, any number",
        leftSection=icon("search"),
        rightSection=dmc.Kbd("/", size="xs"),
        rightSectionPointerEvents="none",
        size="sm",
        debounce=False,
        autoComplete="off",
        spellCheck="false",
        **aria(label="Look up a transaction by any of its numbers"),
    )
    return html.Header(
        [
            dcc.Link([html.Span(className="logo", **aria(hidden="true")), "Tallytrace"],
                     href=addresses.promises(), className="brand"),
            html.Div(search, role="search", className="search"),
            html.Div(id="core", className="core", **aria(live="polite")),
            dmc.ColorSchemeToggle(
                lightIcon=icon("sun"), darkIcon=icon("moon"), variant="subtle", color="gray", size="lg",
                **aria(label="Switch between light and dark"),
            ),
            html.Nav([link(title, href, css="nav-link") for title, href in PAGES], **aria(label="Pages")),
        ],
        className="top",
    )  # fmt: skip


def _form() -> Component:
    """Asks who does something and why, before it is done."""
    fields = [
        dmc.TextInput(id="act-to", label="For whom"),
        dmc.NumberInput(id="act-hours", label="For how many hours", value=4, min=0.1, max=720, allowNegative=False),
        dmc.TextInput(id="act-by", label="Your name", persistence=True, required=True),
        dmc.Textarea(id="act-reason", label="Reason, kept on record", autosize=True, minRows=2,
                     required=True),
        dmc.Checkbox(id="act-accept", label="Although something is left"),
    ]  # fmt: skip
    return html.Dialog(
        [
            html.H2(id="act-title"),
            html.P(id="act-about"),
            html.P(id="act-warning", className="sub"),
            html.P(id="act-ahead", className="act-ahead", **aria(live="polite")),
            *[html.Div(one, id=f"{one.id}-row") for one in fields],
            html.P(id="act-refused", className="act-refused", role="alert"),
            html.Div(
                [html.Button("Cancel", id="act-cancel", className="button"),
                 html.Button("Confirm", id="act-confirm", className="button chief")],
                className="act-buttons",
            ),
        ],
        id="act-form", className="act-form", **aria(labelledby="act-title"),
    )  # fmt: skip


def _waiting() -> Component:
    return html.Div([dmc.Skeleton(height=28, width=220), dmc.Skeleton(height=180), dmc.Skeleton(height=180)],
                    className="waiting", **aria(label="Loading"))  # fmt: skip


def core(status: CoreStatus | None) -> Component:
    state = core_status.state(status)
    return html.Span(
        [icon(state.icon), html.Span(state.word, className="core-word")],
        className=f"mark tone-{state.tone}", title=core_status.details(status),
    )  # fmt: skip


def trouble() -> Component:
    """Says no time: the clock may be in the store that does not answer."""
    said = "The data cannot be read at the moment. What you see may be old; the page tries again every 15 seconds."
    return html.P([icon("warning"), said])


def read(at: datetime) -> Component:
    """When what is shown was read: of a page that several viewers share, before they asked."""
    when = html.Time(f"{at:%H:%M:%S}", dateTime=at.isoformat(), title=wording.exact(at))
    return html.Span(["Read at ", when, "."])


def told(words: str) -> Component:
    return html.P([icon("check"), words])


def unanswered(whose: str) -> Page:
    body = notice(
        f"{wording.sentence(whose)} does not answer",
        html.P("So nothing can be said here at the moment, good or bad. The page tries again every 15 seconds; "
               "whoever runs Tallytrace finds the reason in the log of its processes."),
        html.P(["What lineage has recorded so far is under ", link("Promises", addresses.promises()), "."]),
    )  # fmt: skip
    return Page("No answer", body)


def not_judged(how_far: str) -> Component:
    """What stands where something would that is open or overdue."""
    return notice(
        "Still being judged",
        html.P(f"{how_far.rstrip('.')}. That happens once for a history, and again when the flows or the working "
               "times are changed. Transactions can be looked up, promises read and exceptions decided meanwhile; the "
               "page comes by itself."),
    )  # fmt: skip


def nowhere(path: str) -> Page:
    body = notice(
        "There is no such page",
        html.P([html.Code(path), " leads nowhere. ", link("To the promises", addresses.promises())]),
    )
    return Page("No such page", body)
