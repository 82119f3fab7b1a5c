"""The pages as a WSGI application, and its place inside the API."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, cast
from urllib.parse import unquote

import dash
import flask
import httpx
from a2wsgi import WSGIMiddleware
from dash import ClientsideFunction, Input, Output, State, ctx, no_update
from dash.development.base_component import Component
from dash.exceptions import DependencyException
from litestar import asgi
from litestar.exceptions import NotFoundException
from litestar.handlers import ASGIRouteHandler
from litestar.types import ASGIApp, HTTPReceiveMessage, Message, Receive, Scope, Send, WebSocketReceiveMessage
from msgspec import Struct
from plotly.utils import PlotlyJSONEncoder  # type: ignore[import-untyped]

from dashboards import acts, addresses, core_status, wording
from dashboards.acts import Actor
from dashboards.elements import Page
from dashboards.pages import (
    alerts,
    exceptions,
    flow,
    frame,
    inventory,
    orders,
    promise,
    promises,
    reconciliation,
    returns,
    tour,
    transaction,
)
from dashboards.reader import Clock, Reader, unless_judging
from dashboards.remote import RefusedError, Remote, UnansweredError
from lineage.open_items import NotJudgedError
from lineage.queries import Filter
from lineage.shared import Shared

LOG = logging.getLogger(__name__)

THREADS: Final = 16
SERVES_SECONDS: Final = 5.0
"""So long what was read for one viewer is shown to whoever asks the same, and as long again while it is read anew."""
MOST_SHARED: Final = 64

INDEX: Final = """<!DOCTYPE html>
<html lang="en">
<head>{%metas%}<title>{%title%}</title>{%favicon%}<script src="SCHEME"></script>{%css%}</head>
<body>{%app_entry%}{%config%}{%scripts%}{%renderer%}<noscript>These pages need JavaScript.</noscript></body>
</html>"""


class Sources(Struct, frozen=True):
    """Where the pages have what they show: lineage, the sync core, and what of the plane is asked over HTTP."""

    lineage: Reader
    core: Remote
    plane: Remote
    clock: Clock


class Drawn(Struct, frozen=True):
    """A page as it is sent, made once for all who are shown it."""

    body: object
    mark: str  # changes when the page does, so that a page that did not is not drawn again
    title: str
    read: Component


def create(
    reader: Reader, *, core_url: str, plane_url: str, clock: Clock, serves_seconds: float = SERVES_SECONDS
) -> dash.Dash:
    """The pages, ready to be served below ``/ui``: pass ``.server`` (WSGI) to ``serve_below``."""
    client = httpx.Client(trust_env=False)  # both are ours, not behind a proxy of the environment
    sources = Sources(
        reader, Remote(client, core_url, "the sync core"), Remote(client, plane_url, "the lineage API"), clock
    )
    app = dash.Dash(
        __name__,
        title="Tallytrace",
        update_title="",
        requests_pathname_prefix=f"{addresses.PREFIX}/",
        routes_pathname_prefix="/",
        serve_locally=True,
        assets_ignore=r"scheme\.js",
        meta_tags=[
            {"name": "viewport", "content": "width=device-width, initial-scale=1"},
            {"name": "color-scheme", "content": "light dark"},
        ],
    )
    app.index_string = INDEX.replace("SCHEME", app.get_asset_url("scheme.js"))
    app.layout = frame.frame
    # Nobody has rights of their own, and the browser puts times and numbers in the words of its reader: what is shown
    # depends on the address alone.
    pages = Shared[str, Drawn](serves_seconds, 2 * serves_seconds, MOST_SHARED)
    _show_pages(app, sources, pages)
    _show_core(app, client, core_url, serves_seconds)
    _take_acts(app, Actor(sources.core, sources.plane, _wall), pages)
    _act_in_browser(app)
    _guard(app)
    _warm_up(app)
    return app


def page_at(sources: Sources, path: str, query: str) -> Page:
    try:
        return _page_at(sources, path, query)
    except NotJudgedError as error:
        return Page("Still being judged", frame.not_judged(f"{error}"))


def _page_at(sources: Sources, path: str, query: str) -> Page:
    lineage = sources.lineage
    match addresses.parse(path, query):
        case addresses.Promises(view):
            found = promises.Found(
                tiles=lineage.tiles(view), places=lineage.places(view.brand), brands=lineage.brands,
                overdue=unless_judging(lineage.overdue),
            )  # fmt: skip
            return promises.page(view, found, sources.clock())
        case addresses.Promise() as asked:
            return _promise(sources, asked)
        case addresses.Transaction(""):
            return transaction.ask(lineage.overdue())
        case addresses.Transaction(any_id, trace):
            return transaction.page(lineage.journey(any_id), lineage.trace(trace) if trace else None)
        case addresses.Desk() as desk:
            return _desk(sources, desk)
        case addresses.Tour():
            return tour.page(lineage.tiles(), lineage.overdue(), sources.clock())
        case addresses.Nowhere():
            return frame.nowhere(path)


def _promise(sources: Sources, asked: addresses.Promise) -> Page:
    lineage, view = sources.lineage, asked.view
    detail = lineage.sla(asked.name, view)
    if detail is None:
        return promise.unknown(asked.name, lineage.tiles())
    of_place = Filter(channel=view.channel, location=view.location, within=lineage.brands.within(view.brand))
    listed = None if view.until else unless_judging(lambda: lineage.items(asked.name, of_place))
    return promise.page(view, detail, listed, lineage.brands.names, sources.clock())


def _desk(sources: Sources, desk: addresses.Desk) -> Page:
    lineage, core, plane, now = sources.lineage, sources.core, sources.plane, sources.clock()
    try:
        match desk.name:
            case "orders":
                return orders.page(desk, orders.ask(desk, lineage, plane), now)
            case "exceptions":
                return exceptions.page(desk, exceptions.ask(desk, lineage, core), now)
            case "reconciliation":
                return reconciliation.page(desk, reconciliation.ask(desk, lineage, core, plane, now), now)
            case "inventory":
                return inventory.page(desk, inventory.ask(desk, lineage, core, plane), now)
            case "returns":
                return returns.page(desk, returns.ask(desk, lineage, core, plane), now)
            case "flow":
                return flow.page(desk, flow.ask(desk, core, plane), now)
            case _:
                return alerts.page(desk, alerts.ask(desk, plane), now)
    except UnansweredError as silent:
        return frame.unanswered(silent.whose)


def _show_pages(app: dash.Dash, sources: Sources, pages: Shared[str, Drawn]) -> None:
    def unreadable(error: Exception) -> None:
        LOG.error("a page could not be made", exc_info=error)
        dash.set_props("trouble", {"children": frame.trouble()})

    @app.callback(
        Output("page", "children"),
        Output("shown", "data"),
        Output("trouble", "children"),
        Output("read", "children"),
        Input("address", "pathname"),
        Input("address", "search"),
        Input("tick", "n_intervals"),
        State("shown", "data"),
        on_error=unreadable,
    )
    def show(
        path: str, query: str | None, _tick: int | None, shown: dict[str, str] | None
    ) -> tuple[Any, Any, Any, Any]:
        at = path + (query or "")
        same = shown is not None and shown["at"] == at and list(ctx.triggered_prop_ids) == ["tick.n_intervals"]
        if same and addresses.is_still(addresses.parse(path, query or "")):
            return no_update, no_update, None, no_update
        drawn = pages.get(at, lambda: _draw(sources, path, query or ""))
        if shown and same and shown["mark"] == drawn.mark:
            return no_update, no_update, None, drawn.read
        return drawn.body, {"mark": drawn.mark, "at": at, "title": drawn.title}, None, drawn.read


def _draw(sources: Sources, path: str, query: str) -> Drawn:
    read = frame.read(_wall())
    page = page_at(sources, path, query)
    sent = PlotlyJSONEncoder().encode(page.body)
    return Drawn(json.loads(sent), blake2b(sent.encode(), digest_size=12).hexdigest(), page.title, read)


def _show_core(app: dash.Dash, client: httpx.Client, core_url: str, serves_seconds: float) -> None:
    answers = Shared[str, core_status.CoreStatus | None](serves_seconds, 2 * serves_seconds, 1)

    @app.callback(Output("core", "children"), Input("tick", "n_intervals"))
    def show(_tick: int | None) -> Any:
        return frame.core(answers.get("core", lambda: core_status.read(client, core_url)))


def _take_acts(app: dash.Dash, actor: Actor, pages: Shared[str, Drawn]) -> None:
    """The form that asks who and why, and what comes of it."""

    @app.callback(
        Output("act-title", "children"),
        Output("act-about", "children"),
        Output("act-warning", "children"),
        Output("act-ahead", "children"),
        Output("act-refused", "children"),
        Output("act-confirm", "children"),
        *(Output(f"act-{field}-row", "hidden") for field in ("to", "hours", "accept")),
        Input("act", "data"),
        prevent_initial_call=True,
    )
    def ask(asked: object) -> tuple[Any, ...]:
        act = acts.read(asked)
        form = acts.FORMS[act.deed]
        hidden = (field not in form.fields for field in ("to", "hours", "accept"))
        return form.title, act.about, form.warning, actor.foresee(act), "", form.confirm, *hidden

    @app.callback(
        Output("acted", "data"),
        Output("told", "children"),
        Output("act-refused", "children", allow_duplicate=True),
        Input("act-confirm", "n_clicks"),
        State("act", "data"),
        *(State(f"act-{field}", "value") for field in ("by", "reason", "to", "hours")),
        State("act-accept", "checked"),
        prevent_initial_call=True,
    )
    def do(clicks: int, asked: object, by: str, reason: str, to: str, hours: float, accept: bool) -> tuple[Any, ...]:
        said = acts.Said(by=by or "", reason=reason or "", to=to or "", hours=float(hours or 0), accept=bool(accept))
        if not (said.by.strip() and said.reason.strip()):
            return no_update, no_update, "Say who you are and why; both are kept on record."
        try:
            done = actor.do(acts.read(asked), said)
        except (RefusedError, UnansweredError) as error:
            return no_update, no_update, f"{wording.sentence(str(error))}."
        finally:
            pages.forget()
        return clicks, frame.told(done), ""


def _act_in_browser(app: dash.Dash) -> None:
    """What needs no server, in assets/tallytrace.js."""
    bind: Callable[..., None] = app.clientside_callback
    bind(
        ClientsideFunction("tallytrace", "lookUp"),
        Output("address", "pathname"),
        Output("address", "search"),
        Input("search", "n_submit"),
        prevent_initial_call=True,
    )
    bind(ClientsideFunction("tallytrace", "acted"), Output("tick", "n_intervals"), Input("acted", "data"),
         State("tick", "n_intervals"), prevent_initial_call=True)  # fmt: skip
    bind(ClientsideFunction("tallytrace", "describe"), Output("described", "data"), Input("shown", "data"))
    bind(ClientsideFunction("tallytrace", "remember"), Output("search", "value"), Input("address", "search"))


def _guard(app: dash.Dash) -> None:
    """Headers that let the pages load nothing from elsewhere and be framed by nobody."""
    scripts = " ".join(["'self'", *app.csp_hashes()])
    policy = (
        f"default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    )

    def headers(response: flask.Response) -> flask.Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        return response

    # Dash answers a file it does not have with a 500 and a stack in the log, which every scanner would fill.
    for missing in (DependencyException, FileNotFoundError):
        app.server.register_error_handler(missing, lambda _error: ("There is no such file.", 404))
    app.server.after_request(headers)


def _wall() -> datetime:
    return datetime.now(UTC)


def _warm_up(app: dash.Dash) -> None:
    """Dash finishes its set-up in the first request; with threads the ones beside it would fail."""
    app.server.test_client().get("/")


def serve_below(path: str, app: dash.Dash) -> ASGIRouteHandler:
    """A handler for Litestar that serves the pages below ``path``, callbacks on threads."""
    return mount(path, cast(ASGIApp, WSGIMiddleware(app.server, workers=THREADS)))


def mount(path: str, inner: ASGIApp, **options: Any) -> ASGIRouteHandler:
    """Everything below ``path`` goes to ``inner``, with the path as the client sent it.

    Litestar strips the prefix and appends a slash, so that Dash would answer every request with its index page;
    and it matches by letters, so that ``/uiguide`` would arrive here too: that is 404. ``options`` go to
    ``litestar.asgi`` (guards, opt).
    """

    @asgi(path, is_mount=True, copy_scope=True, **options)
    async def below(scope: Scope, receive: Receive, send: Send) -> None:
        sent = _path_sent(scope)
        root = scope.get("root_path", "") + path
        if sent != root and not sent.startswith(f"{root}/"):
            raise NotFoundException
        inner_scope = {**scope, "path": f"{root}/" if sent == root else sent, "root_path": root}

        # Some servers hand over futures, where the adapter below insists on coroutines.
        async def received() -> HTTPReceiveMessage | WebSocketReceiveMessage:
            return await receive()

        async def sending(message: Message) -> None:
            await send(message)

        await inner(cast(Scope, inner_scope), received, sending)

    return below


def _path_sent(scope: Scope) -> str:
    raw = scope.get("raw_path") or scope["path"].encode()
    return unquote(raw.partition(b"?")[0].decode("ascii"))
