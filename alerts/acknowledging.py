"""The page that a message links to: what fires, and a form to say that you are at it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from html import escape
from typing import Annotated, Any, Final

from litestar import MediaType, Request, Response, get, post
from litestar.enums import RequestEncodingType
from litestar.handlers import HTTPRouteHandler
from litestar.params import Body, FromPath
from msgspec import Meta, Struct

from alerts.page import Alert, in_words, places
from alerts.silence import Line
from alerts.store import Store
from alerts.telling import Teller

AnyRequest = Request[Any, Any, Any]
OURS: Final = frozenset({"same-origin", "none", ""})  # where a browser says that a form was sent from
HEADERS: Final = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"}
DOCUMENT: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:2rem auto;padding:0 1rem}}
label,input,select,button{{display:block;width:100%;box-sizing:border-box;font:inherit;margin:.25rem 0 .75rem}}</style>
<h1>{title}</h1>{body}</html>"""
FORM: Final = """<form method="post" action="at-it">
<label>Who you are<input name="by" required maxlength="500" autocomplete="name"></label>
<label>What you do about it<input name="note" required maxlength="500"></label>
<label>Remind everyone, if it still fires, after<select name="remind_after_seconds">
<option value="1800">half an hour</option><option value="3600" selected>an hour</option>
<option value="14400">four hours</option></select></label>
<button>I am at it</button></form>"""


class Form(Struct, frozen=True, kw_only=True):
    by: Line
    note: Line
    remind_after_seconds: Annotated[float, Meta(ge=60, le=86_400 * 7)] = 3600


def form_handlers(store: Store, teller: Teller, clock: Callable[[], datetime]) -> list[HTTPRouteHandler]:
    """Looking at it changes nothing, since what shows links in chats looks at them too."""

    @get("/alerts/{alert_id:str}/ack", sync_to_thread=True, include_in_schema=False)
    def show(alert_id: FromPath[str]) -> Response[str]:
        """What fires, and the form."""
        alert = store.alert(alert_id)
        if alert is None:
            return _page(404, "No such alert", "")
        incidents = store.incidents_of([alert.incident_id])
        if not incidents or incidents[0].resolved_at:
            return _page(200, "It is over", _told(alert))
        by = incidents[0].acknowledged_by
        return _page(200, escape(alert.summary), _told(alert) + (f"<p>{escape(by)} is at it.</p>" if by else "") + FORM)

    @post("/alerts/{alert_id:str}/at-it", status_code=200, sync_to_thread=True, include_in_schema=False)
    def take(
        request: AnyRequest, alert_id: FromPath[str],
        data: Annotated[Form, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[str]:  # fmt: skip
        """Somebody is at it."""
        alert = store.alert(alert_id)
        if alert is None:
            return _page(404, "No such alert", "")
        if request.headers.get("Sec-Fetch-Site", "") not in OURS:
            return _page(403, "Not from here", "<p>Open the link of the message, and send the form there.</p>")
        at = clock()
        until = at + timedelta(seconds=data.remind_after_seconds)
        with store.desk() as desk:
            done = teller.acknowledge(desk, alert, data.by, data.note, until, at)
        if not done:
            return _page(409, "It is over", _told(alert))
        return _page(200, "You are at it", f"<p>Everyone is reminded at {until:%Y-%m-%d %H:%M} UTC.</p>" + _told(alert))

    return [show, take]


def _page(status: int, title: str, body: str) -> Response[str]:
    text = DOCUMENT.format(title=title, body=body)
    return Response(text, status_code=status, media_type=MediaType.HTML, headers=HEADERS)


def _told(alert: Alert) -> str:
    lines = (
        f"{places([alert])}: {alert.reason}", f"since {alert.opened_at:%Y-%m-%d %H:%M} UTC",
        f"{in_words(alert.at_risk)} at risk", f"whose: {alert.owner}", alert.next_step,
    )  # fmt: skip
    return "".join(f"<p>{escape(line)}</p>" for line in lines) + f'<p><a href="{escape(alert.link)}">the items</a></p>'
