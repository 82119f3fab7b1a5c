"""The sync core over HTTP: events and files in, states, journal and audit out."""

import asyncio
import datetime as dt
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, Literal

import anyio.to_thread
import msgspec
from litestar import Litestar, MediaType, Request, Response, get, post, put
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import Stream
from msgspec import Struct, field

from sync_core import inbox
from sync_core.answers import (
    Accuracy,
    Audit,
    EventResult,
    EventResults,
    ExceptionSum,
    Hold,
    LaneStatus,
    LineState,
    LocationTold,
    OpenException,
    OrderState,
    PostingState,
    Problem,
    Product,
    RepairOrder,
    Replenishment,
    Status,
)
from sync_core.clock import Clock
from sync_core.connectors import online_retail
from sync_core.connectors.known import SETTLEMENT_FILES
from sync_core.door import Fault, fault
from sync_core.errors import InvalidEventError, UnknownEventTypeError
from sync_core.exceptions.exceptions import SOURCE, Act, Acted, Action, Record, act, history
from sync_core.exceptions.playbooks import playbook
from sync_core.files import FileReader, FileStatus, Incoming
from sync_core.ledger import export
from sync_core.ledger.ledger import LANES, PostingRules, load_rules
from sync_core.messages import (
    SCHEMAS,
    TYPE_OF,
    TYPES,
    LocationName,
    OrderCaptured,
    StockRepaired,
    decode_event,
    from_cloudevents,
    message,
    schema,
)
from sync_core.orders.checks import HOLDING
from sync_core.orders.desk import Decided, Desk, event_id_of
from sync_core.outbox import ErpRelay
from sync_core.reconciliation import audit
from sync_core.stock import publication
from sync_core.stock.shelf import Shelf, Shelves
from sync_core.store import Row, Session, Store

log = logging.getLogger(__name__)

PROBLEM: Final = "application/problem+json"
MAX_BODY_BYTES: Final = 16 * 1024 * 1024
MAX_FILE_BYTES: Final = 4 * 1024 * 1024 * 1024
MAX_SKUS: Final = 500
DECIDE_SECONDS: Final = 2.0
FORMS: Final = {"canonical": export.canonical, "hledger": export.hledger, "beancount": export.beancount}
MAX_EVENTS: Final = 2_000
MAX_QUEUED: Final = 50_000
RETRY_AFTER_SECONDS: Final = "2"


class ProblemError(Exception):
    """A request is answered with a problem."""

    def __init__(self, status: int, title: str, detail: str, *, field: str = "", retry: bool = False) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail, self.field, self.retry = status, title, detail, field, retry


def lanes(session: Session, now: dt.datetime) -> list[LaneStatus]:
    """Every lane to the ERP as it stands, first to last."""
    found = {row[0]: row[1:] for row in session.rows("lanes", now=now)}
    return [LaneStatus(lane, *found.get(number, (0, 0.0, 0))) for number, lane in enumerate(LANES)]


class Core(Struct, frozen=True):
    """What the handlers need."""

    db: Store
    files: FileReader
    clock: Clock
    erps: Sequence[ErpRelay]
    shelves: Shelves
    desk: Desk
    max_queued: int = MAX_QUEUED  # events; beyond that senders are asked to wait
    rules: PostingRules = field(default_factory=load_rules)


def create_app(core: Core, *more: BaseRouteHandler) -> Litestar:
    """The application; ``more`` are handlers of the process around it."""
    taking: list[BaseRouteHandler] = [receive_events, submit_order, put_file, act_on_exceptions, repair]
    telling = [
        file_status,
        status,
        order,
        availability,
        product,
        location,
        accuracy,
        channels,
        replenishments,
        exceptions,
        exceptions_summed,
        exception_history,
        journal,
        schemas,
        schema_of,
        audited,
        audited_spans,
        audited_bucket,
        drifts,
        repairs,
    ]
    return Litestar(
        [*taking, *telling, *more],
        state=State({"core": core}),
        lifespan=[_opened(core.desk)],
        request_max_body_size=MAX_BODY_BYTES,
        exception_handlers={ProblemError: _problem, HTTPException: _refused, Exception: _failed},
        openapi_config=OpenAPIConfig(title="Tallytrace: sync core", version="1", path="/schema"),
        logging_config=None,
    )


@asynccontextmanager
async def _opened(desk: Desk, *_: Litestar) -> AsyncIterator[None]:
    with desk.open():
        yield


def core_of(state: State) -> Core:
    """What the handlers need."""
    core: Core = state["core"]
    return core


@post("/v1/events", status_code=202)
async def receive_events(request: Request[Any, Any, State], state: State) -> EventResults:
    """Take CloudEvents: one, or an array of up to 2,000; a request of which anything is malformed is refused whole."""
    body = await request.body()
    return await anyio.to_thread.run_sync(_take, core_of(state), body)


def _take(core: Core, body: bytes) -> EventResults:
    messages = _decoded(body)
    for number, one in enumerate(messages):
        if wrong := fault(one, core.clock(), core.rules):
            place = f"[{number}]." if body.lstrip()[:1] == b"[" else ""
            raise ProblemError(422, "Event refused", wrong.detail, field=f"{place}{wrong.field}")
    with core.db.transaction() as session:
        if session.one("queued", limit=core.max_queued)[0] >= core.max_queued:
            raise ProblemError(503, "Too much is queued", "the inbox is full; send this again later", retry=True)
        receipts = inbox.accept(session, messages, core.clock())
    counts = Counter(receipts)
    if len(messages) == 1 and counts["conflict"]:
        one = messages[0]
        detail = f"event {one.event_id} of {one.source} is known with other content; an exception was opened"
        raise ProblemError(409, "Identity conflict", detail, field="id")
    results = [EventResult(m.source, m.event_id, receipt) for m, receipt in zip(messages, receipts, strict=True)]
    return EventResults(counts["accepted"], counts["duplicate"], counts["conflict"], results)


def _decoded(body: bytes) -> list[Any]:
    try:
        messages = from_cloudevents(body, batch=body.lstrip()[:1] == b"[")
    except InvalidEventError as error:
        raise ProblemError(400, "Malformed event", error.detail, field=error.field) from error
    if len(messages) > MAX_EVENTS:
        raise ProblemError(413, "Too many events", f"send at most {MAX_EVENTS} events in one request")
    return messages


@put("/v1/files/{connector:str}/{name:str}", status_code=202, request_max_body_size=MAX_FILE_BYTES)
async def put_file(
    request: Request[Any, Any, State],
    state: State,
    connector: FromPath[str],
    name: FromPath[str],
    until_now: FromQuery[bool] = False,
    generated: FromQuery[bool] = False,
) -> FileStatus:
    """Keep a file and read it: ``until_now`` shifts its times by whole weeks so that it ends in the present.

    ``generated`` settlements were made up with their trade: each runs on its own clock, from the day it is dated.
    """
    core = core_of(state)
    if not await anyio.to_thread.run_sync(core.files.knows, connector):
        known = ", ".join([online_retail.NAME, *SETTLEMENT_FILES])
        detail = f"there is no connector {connector!r}; known: {known}, and what mappings describe"
        raise ProblemError(404, "Unknown connector", detail)
    incoming = core.files.incoming()
    try:
        async for chunk in request.stream():
            incoming.write(chunk)
        return await anyio.to_thread.run_sync(_keep, core, connector, name, incoming, until_now, generated)
    finally:
        incoming.abandon()


def _keep(core: Core, connector: str, name: str, incoming: Incoming, until_now: bool, generated: bool) -> FileStatus:
    core.files.submit(connector, name, incoming.finish(), until_now=until_now, generated=generated)
    found = core.files.status(connector, name)
    assert found is not None
    return found


@get("/v1/files/{connector:str}/{name:str}", sync_to_thread=True)
def file_status(state: State, connector: FromPath[str], name: FromPath[str]) -> FileStatus:
    """How far the latest run over a file has come."""
    found = core_of(state).files.status(connector, name)
    if found is None:
        raise ProblemError(404, "Not found", f"no file {name!r} was given to connector {connector!r}")
    return found


@get("/v1/status", sync_to_thread=True)
def status(state: State) -> Status:
    """What waits, and since when."""
    core = core_of(state)
    with core.db.transaction() as session:
        *counted, opened, days = session.one("lag", now=core.clock())
        by_lane = lanes(session, core.clock())
    down = [one for one in core.erps if not one.up]
    erp: Literal["up", "down", "none"] = "down" if down else "up" if core.erps else "none"
    problem = "; ".join(f"{one.name}: {one.problem}" if one.name else one.problem for one in down)
    queued, parked, dead, waiting, oldest, retrying, refused, spans = counted
    return Status(
        queued, parked, dead, waiting, float(oldest or 0), retrying, refused, spans, opened, days, erp, by_lane, problem
    )


@post("/v1/orders", status_code=201)
async def submit_order(request: Request[Any, Any, State], state: State) -> Response[list[OrderState]]:
    """Take an order as its channel has it (the data of `tallytrace.order.captured.v1`) and answer how it stands.

    201: captured, and reserved or back-ordered. 202: on record, but not decided within two seconds; look at it under
    ``Location``. 409: the number is known with other content. The same order again is answered as it stands now.
    """
    core = core_of(state)
    desk = core.desk
    event = _decoded_order(await request.body(), core.clock())
    match await asyncio.wrap_future(desk.hand_in(event)):
        case "conflict":
            detail = f"order {event.order_id} of {event.origin} is known with other content; an exception was opened"
            raise ProblemError(409, "Identity conflict", detail, field="order_id")
        case Fault(field, detail):
            raise ProblemError(422, "Order refused", detail, field=field)
        case "full":
            raise ProblemError(503, "Too much is queued", "the inbox is full; send this again later", retry=True)
        case _:
            return await _decided(desk, event)


def _decoded_order(body: bytes, now: dt.datetime) -> OrderCaptured:
    try:
        event = decode_event(TYPE_OF[OrderCaptured], body)
    except InvalidEventError as error:
        raise ProblemError(
            400, "Malformed order", error.detail, field=error.field.removeprefix("data").lstrip(".")
        ) from error
    assert isinstance(event, OrderCaptured)
    asked = message(event, source=event.origin, event_id=event_id_of(event), occurred_at=now)
    if wrong := fault(asked, now):
        raise ProblemError(422, "Order refused", wrong.detail, field=wrong.field.removeprefix("data."))
    return event


async def _decided(desk: Desk, event: OrderCaptured) -> Response[list[OrderState]]:
    where = {"Location": f"/v1/orders/{event.order_id}"}
    try:
        async with asyncio.timeout(DECIDE_SECONDS):
            decided = await asyncio.wrap_future(desk.decided(event.origin, event_id_of(event), event.order_id))
    except TimeoutError:
        return Response([], status_code=202, headers=where)
    if decided.state == "rejected":
        raise ProblemError(409, "Order refused", decided.reason, field="order_id")
    orders = _orders(decided.orders)
    return Response(orders, status_code=201 if orders else 202, headers=where)


def settled(desk: Desk, source: str, event_id: str) -> Decided | None:
    """What became of an event; None when nobody has decided in time, or it waits for another."""
    try:
        decided = desk.decided(source, event_id).result(DECIDE_SECONDS)
    except TimeoutError:
        return None
    return None if decided.state == "parked" else decided


@get("/v1/orders/{order_id:str}", sync_to_thread=True)
def order(state: State, order_id: FromPath[str]) -> list[OrderState]:
    """The orders with this number, one per origin."""
    with core_of(state).db.transaction() as session:
        rows = session.rows("order_state", order_ids=[order_id], holding=HOLDING)
    if not rows:
        raise ProblemError(404, "Not found", f"no order {order_id!r}")
    return _orders(rows)


def _orders(rows: Sequence[Row]) -> list[OrderState]:
    named = [
        (
            row[0].hex(),
            *row[1:-3],
            [Hold(*one) for one in row[-3]],
            [PostingState(*one) for one in row[-2]],
            [LineState(*one) for one in row[-1]],
        )
        for row in rows
    ]
    return [OrderState(*one) for one in named]


@get("/v1/availability")
async def availability(
    state: State,
    sku: Annotated[list[str], QueryParameter(min_items=1, max_items=MAX_SKUS, description="one or more")],
    location: Annotated[list[str] | None, QueryParameter(max_items=MAX_SKUS, description="only there")] = None,
    channel: FromQuery[str] = "",
    near: Annotated[str, QueryParameter(description="there and at the stores beside it")] = "",
) -> Response[Shelf]:
    """What may be promised of SKUs by location and bucket, from memory; with ``channel`` also what it may promise."""
    shelves = core_of(state).shelves
    if missing := shelves.missing(sku):
        await anyio.to_thread.run_sync(shelves.load, missing)
    told: Any = shelves.tell(sku, location or (), channel, near)  # a Shelf, as bytes
    return Response(told, media_type=MediaType.JSON)


@get("/v1/products/{number:str}", sync_to_thread=True)
def product(state: State, number: FromPath[str]) -> list[Product]:
    """The products with this number, one per origin, and what is there of each by location and bucket."""
    core = core_of(state)
    with core.db.transaction() as session:
        rows = session.rows("products", number=number)
    if not rows:
        raise ProblemError(404, "Not found", f"no product {number!r}")
    core.shelves.load([row[1] for row in rows])
    return [Product(*(*row, core.shelves.look(row[1]).locations)) for row in rows]


@get("/v1/locations/{name:str}", sync_to_thread=True)
def location(state: State, name: FromPath[str]) -> list[LocationTold]:
    """The locations that are called so, by us or by a system."""
    with core_of(state).db.transaction() as session:
        rows = session.rows("locations", number=name)
    if not rows:
        raise ProblemError(404, "Not found", f"no location {name!r}")
    named = [(*row[:-1], [LocationName(system=one, name=two) for one, two in row[-1]]) for row in rows]
    return [LocationTold(*one) for one in named]


@get("/v1/accuracy", sync_to_thread=True)
def accuracy(state: State, days: Annotated[int, QueryParameter(ge=1, le=366)] = 28) -> list[Accuracy]:
    """How right stock was found to be, by channel and location, in the counts of the last days."""
    core = core_of(state)
    since = core.clock().date() - dt.timedelta(days=days)
    with core.db.transaction() as session:
        return [Accuracy(*row) for row in session.rows("accuracy", since=since)]


@get("/v1/channels", sync_to_thread=True)
def channels(state: State) -> list[publication.ChannelStatus]:
    """The channels that are told what they may sell: what each does not have yet, since when, and why."""
    core = core_of(state)
    with core.db.transaction() as session:
        return publication.channels(session, core.clock())


@get("/v1/replenishments", sync_to_thread=True)
def replenishments(
    state: State, location: FromQuery[str] = "", limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100
) -> list[Replenishment]:
    """What fell under its reorder point and is neither there nor on its way, longest waiting first."""
    with core_of(state).db.transaction() as session:
        return [Replenishment(*row) for row in session.rows("open_signals", location=location, limit=limit)]


@get("/v1/exceptions", sync_to_thread=True)
def exceptions(
    state: State,
    owner: FromQuery[str] = "",
    kind: FromQuery[str] = "",
    severity: FromQuery[Literal["", "critical", "major", "minor"]] = "",
    status: Annotated[Literal["open", "resolved"], QueryParameter(name="state")] = "open",
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
    after: FromQuery[str] = "",
) -> list[OpenException]:
    """What a person must decide, oldest first; or what was decided. A page goes on ``after`` the last ID before it."""
    core = core_of(state)
    asked = {"owner": owner, "kind": kind, "severity": severity, "state": status, "limit": limit, "after": after}
    with core.db.transaction() as session:
        rows = session.rows("exceptions", **asked)
    return [_told_exception(row, core.clock()) for row in rows]


def _told_exception(row: Row, now: dt.datetime) -> OpenException:
    opened_at, resolved_at = row[12:14]
    age_seconds = ((resolved_at or now) - opened_at).total_seconds()
    values = [*row[:3], row[3].hex(), *row[4:], age_seconds, playbook(row[1])]
    return OpenException(*values)


@get("/v1/exceptions/summary", sync_to_thread=True)
def exceptions_summed(
    state: State, limit: Annotated[int, QueryParameter(ge=1, le=10_000)] = 1000
) -> list[ExceptionSum]:
    """What people must decide now, added up: how many, how much, since when; the most numerous first."""
    with core_of(state).db.transaction() as session:
        return [ExceptionSum(*row) for row in session.rows("exceptions_summed", limit=limit)]


@get("/v1/exceptions/history", sync_to_thread=True)
def exception_history(state: State, id: FromQuery[str]) -> list[Record]:
    """Who did what about one exception, and why."""
    with core_of(state).db.transaction() as session:
        return history(session, id)


@post("/v1/exceptions/{action:str}", status_code=200, sync_to_thread=True)
def act_on_exceptions(state: State, action: FromPath[Action], data: JSONBody[Act]) -> Acted:
    """Assign, resolve, replay or compensate exceptions, one or many, saying who and why; told is what became of each.

    A replay has what caused an exception processed again; if it fails again, the exception opens again. A compensation
    undoes a stock document whose journal the ERP refused.
    """
    detail, field = data.fault(action)
    if detail:
        raise ProblemError(400, "Action refused", detail, field=field)
    core = core_of(state)
    with core.db.transaction() as session:
        return act(session, action, data, core.clock())


@get("/v1/journal", media_type="text/plain", sync_to_thread=False)
def journal(
    state: State, form: Annotated[Literal["canonical", "hledger", "beancount"], QueryParameter(name="format")]
) -> Stream:
    """The whole journal as text, streamed."""
    return Stream(_stream(core_of(state), FORMS[form]))


async def _stream(core: Core, render: Any) -> AsyncIterator[str]:
    """Pieces of about 64 KiB: many small sends would cost more than the export."""
    pieces: Iterator[str] = _pieces(core, render)
    while (piece := await anyio.to_thread.run_sync(next, pieces, "")) != "":
        yield piece


def _pieces(core: Core, render: Any) -> Iterator[str]:
    with core.db.transaction() as session:
        held, size = [], 0
        for piece in render(session.stream("export_journal")):
            held.append(piece)
            size += len(piece)
            if size > 65_536:
                yield "".join(held)
                held, size = [], 0
        if held:
            yield "".join(held)


@get(SCHEMAS, sync_to_thread=False)
def schemas() -> dict[str, Any]:
    """JSON Schema of every event type."""
    refs, definitions = msgspec.json.schema_components(list(TYPES.values()), ref_template="#/$defs/{name}")
    return {"types": dict(zip(TYPES, refs, strict=True)), "$defs": definitions}


@get(f"{SCHEMAS}/{{name:str}}", media_type="application/schema+json", sync_to_thread=False)
def schema_of(name: FromPath[str]) -> bytes:
    """JSON Schema of one event type, as a CloudEvent's `dataschema` may name it."""
    try:
        return msgspec.json.encode(schema(name))
    except UnknownEventTypeError as error:
        raise ProblemError(404, "Unknown event type", error.detail, field="type") from error


@get("/v1/audit", sync_to_thread=True)
def audited(state: State) -> Audit:
    """The books as they are: what balances, what differs, and lines, units and money by kind."""
    with core_of(state).db.transaction() as session:
        return Audit(audit.checks(session, core_of(state).rules), audit.by_kind(session))


@get("/v1/audit/drifts", sync_to_thread=True)
def drifts(state: State, limit: Annotated[int, QueryParameter(ge=1, le=500)] = 500) -> list[audit.Drift]:
    """Counters that are not what movements say."""
    with core_of(state).db.transaction() as session:
        return audit.drifts(session, limit)


@get("/v1/audit/repairs", sync_to_thread=True)
def repairs(
    state: State, document_id: FromQuery[str] = "", limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100
) -> list[audit.Repair]:
    """Counters that were repaired: as they were, as they were set, by whom and why."""
    with core_of(state).db.transaction() as session:
        return audit.repairs(session, document_id, limit)


@post("/v1/audit/repairs", status_code=200, sync_to_thread=True)
def repair(state: State, data: JSONBody[RepairOrder]) -> list[audit.Repair]:
    """Set counters to what their movements say, on record; what is not in the answer could not be repaired."""
    core = core_of(state)
    now = core.clock()
    event = StockRepaired(origin="tallytrace", document_id=f"repair-{now:%Y%m%dT%H%M%S.%f}", by=data.by,
                          reason=data.reason, places=data.places)  # fmt: skip
    asked = message(event, source=SOURCE, event_id=event.document_id, occurred_at=now)
    with core.db.transaction() as session:
        inbox.accept(session, [asked], now)
    core.desk.wake_workers()
    if settled(core.desk, SOURCE, event.document_id) is None:
        detail = f"look at /v1/audit/repairs?document_id={event.document_id}"
        raise ProblemError(503, "Not decided yet", detail, retry=True)
    with core.db.transaction() as session:
        return audit.repairs(session, event.document_id, len(data.places))


@get("/v1/audit/spans", sync_to_thread=True)
def audited_spans(state: State) -> list[audit.SpanBucket]:
    """Counts and checksums of the spans that were committed."""
    with core_of(state).db.transaction() as session:
        return audit.span_buckets(session)


@get("/v1/audit/spans/{bucket:int}", sync_to_thread=True)
def audited_bucket(state: State, bucket: FromPath[int]) -> list[str]:
    """The committed span IDs that begin with one byte."""
    with core_of(state).db.transaction() as session:
        return audit.spans_in_bucket(session, bucket)


def _problem(request: Request[Any, Any, State], error: ProblemError) -> Response[Problem]:
    kind = error.title.lower().replace(" ", "-")
    answer = _answer(request, kind, error.title, error.status, error.detail, error.field)
    if error.retry:
        answer.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return answer


def _refused(request: Request[Any, Any, State], error: HTTPException) -> Response[Problem]:
    return _answer(request, "request", "Request refused", error.status_code, error.detail)


def _failed(request: Request[Any, Any, State], error: Exception) -> Response[Problem]:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(request, "internal", "Internal error", 500, "The request failed; the log says why.")


def _answer(
    request: Request[Any, Any, State], kind: str, title: str, status: int, detail: str, field: str = ""
) -> Response[Problem]:
    problem = Problem(f"urn:tallytrace:problem:{kind}", title, status, detail, request.url.path, field)
    return Response(problem, status_code=status, media_type=PROBLEM)
