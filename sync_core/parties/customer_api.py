"""Customers over HTTP: an update answered at once, and a customer found by any of their numbers."""

import datetime as dt
from typing import Any, Final

import anyio.to_thread
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath
from msgspec import Struct

from sync_core import inbox
from sync_core.api import Core, ProblemError, core_of, settled
from sync_core.door import fault
from sync_core.errors import InvalidEventError
from sync_core.master_messages import Account, CustomerUpdated
from sync_core.messages import TYPE_OF, decode_event, message


class CustomerOrder(Struct, frozen=True):
    """An order that one of a customer's accounts placed."""

    origin: str
    order_id: str
    state: str
    currency: str
    amount_minor: int
    due_minor: int
    captured_at: Any


class CustomerTold(Struct, frozen=True):
    """A customer as known now, with their latest hundred orders; ``merged`` are customers who turned out to be them."""

    origin: str
    customer_id: str
    segment: str
    closed: bool
    updated_at: dt.datetime
    merged: list[str]
    accounts: list[Account]
    orders: list[CustomerOrder]


@post("/v1/customers", status_code=200)
async def update(request: Request[Any, Any, State], state: State) -> Response[list[CustomerTold]]:
    """Update a customer (the data of `tallytrace.customer.updated.v1`) and answer how they are known.

    202: on record, but not decided within two seconds, or it waits for the customer it is merged into. 409: an account
    is another customer's; an exception was opened.
    """
    return await anyio.to_thread.run_sync(_update, core_of(state), await request.body())


def _update(core: Core, body: bytes) -> Response[list[CustomerTold]]:
    try:
        event = decode_event(TYPE_OF[CustomerUpdated], body)
    except InvalidEventError as error:
        field = error.field.removeprefix("data").lstrip(".")
        raise ProblemError(400, "Malformed customer", error.detail, field=field) from error
    assert isinstance(event, CustomerUpdated)
    now = core.clock()
    asked = message(event, source=event.origin, event_id=f"customer/{event.customer_id}/{now.isoformat()}",
                    occurred_at=now)  # fmt: skip
    if wrong := fault(asked, now):
        raise ProblemError(422, "Customer refused", wrong.detail, field=wrong.field.removeprefix("data."))
    with core.db.transaction() as session:
        if session.one("queued", limit=core.max_queued)[0] >= core.max_queued:
            raise ProblemError(503, "Too much is queued", "the inbox is full; send this again later", retry=True)
        inbox.accept(session, [asked], now)
    core.desk.wake_workers()
    decided = settled(core.desk, asked.source, asked.event_id)
    if decided is None:
        return Response([], status_code=202, headers={"Location": f"/v1/customers/{event.customer_id}"})
    if decided.state == "rejected":
        raise ProblemError(409, "Customer refused", decided.reason, field="accounts")
    return Response([one for one in _told(core, event.customer_id) if one.origin == event.origin])


@get("/v1/customers/{number:str}", sync_to_thread=True)
def customer(state: State, number: FromPath[str]) -> list[CustomerTold]:
    """The customers with this number, or with an account of this number, one per origin."""
    if not (found := _told(core_of(state), number)):
        raise ProblemError(404, "Not found", f"no customer {number!r}")
    return found


def _told(core: Core, number: str) -> list[CustomerTold]:
    with core.db.transaction() as session:
        rows = session.rows("customers", number=number)
    named = [
        (*row[:-2], [Account(system=one, account_id=two) for one, two in row[-2]], [CustomerOrder(*o) for o in row[-1]])
        for row in rows
    ]
    return [CustomerTold(*one) for one in named]


HANDLERS: Final[list[BaseRouteHandler]] = [update, customer]
