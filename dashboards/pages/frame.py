"""What surrounds every page: the name, the search box, the lag of the core, light or dark."""

import dash_mantine_components as dmc  # type: ignore[import-untyped]
from dash import dcc, html
from dash.development.base_component import Component

from dashboards import addresses, core_status
from dashboards.core_status import CoreStatus
from dashboards.elements import Page, aria, icon, link, notice

REFRESH_MILLISECONDS = 15_000


def frame() -> Component:
    whole: Component = dmc.MantineProvider(
        [
            dcc.Location(id="address", refresh="callback-nav"),
            dcc.Interval(id="tick", interval=REFRESH_MILLISECONDS),
            dcc.Store(id="shown"),
            dcc.Store(id="described"),
            html.A("Skip to the content", href="#page", className="skip"),
            _header(),
            html.Div(id="trouble", role="status", className="trouble"),
            html.Main(_waiting(), id="page", tabIndex="-1"),
            html.Footer("All times are UTC. Amounts are exact; several currencies are never added together."),
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
            html.Nav(link("Promises", addresses.promises(), css="nav-link"), **aria(label="Pages")),
            html.Div(search, role="search", className="search"),
            html.Div(id="core", className="core", **aria(live="polite")),
            dmc.ColorSchemeToggle(
                lightIcon=icon("sun"), darkIcon=icon("moon"), variant="subtle", color="gray", size="lg",
                **aria(label="Switch between light and dark"),
            ),
        ],
        className="top",
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


def nowhere(path: str) -> Page:
    body = notice(
        "There is no such page",
        html.P([html.Code(path), " leads nowhere. ", link("To the promises", addresses.promises())]),
    )
    return Page("No such page", body)
