"""Returns over HTTP: whether goods may come back, the request, how returns stand, and refunds to be executed."""

import datetime as dt
from typing import Annotated, Any, Final, Literal

import anyio.to_thread
import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, FromQuery, QueryParameter
from msgspec import Struct

from collector.semconv import correlation_id
from sync_core import flows, inbox
from sync_core.api import Core, ProblemError, core_of, settled
from sync_core.door import fault
from sync_core.errors import InvalidEventError
from sync_core.messages import TYPE_OF, Message, decode_event, message
from sync_core.model import Order
from sync_core.returns import returns
from sync_core.returns.messages import ReturnRequested
from sync_core.returns.model import STAGES, Return, ReturnLine, ReturnState, Stage
from sync_core.returns.policy import Judged, Outcome
from sync_core.store import Row, return_of
from sync_core.unit import Step

Limit = Annotated[int, QueryParameter(ge=1, le=1000)]


class EligibleLine(Struct, frozen=True):
    """Units that may come back, what the customer gets and when; ``refund_minor`` includes tax, less the fee."""

    sku: str
    line_no: int
    quantity: int
    reason: str
    amount_minor: int
    tax_minor: int
    fee_minor: int
    refund_minor: int
    refund_after: str


class Eligibility(Struct, frozen=True):
    """Whether a request would be authorised now, and every reason why not; nothing is kept of the question."""

    outcome: Outcome
    reasons: tuple[str, ...]
    currency: str
    refund_minor: int
    return_by: dt.datetime | None
    lines: list[EligibleLine]


class ReturnLineState(Struct, frozen=True):
    """Units of a return, by what became of them."""

    sku: str
    order_line_no: int
    quantity: int
    reason: str
    amount_minor: int
    tax_minor: int
    fee_minor: int
    expected: int
    given_up: int
    received: int
    uninspected: int
    accepted: int
    rejected: int
    sent_back: int
    disposed: dict[str, int]
    at: dict[str, int]


class RefundState(Struct, frozen=True):
    """A refund of a return, to the payment that it goes back to."""

    refund_id: str
    provider: str
    kind: str
    payment_id: str
    amount_minor: int
    tax_minor: int
    state: str


class ReturnTold(Struct, frozen=True):
    """A return as it stands: of what was approved, some may be paid out (cleared), some is not owed (released)."""

    correlation_id: str
    origin: str
    return_id: str
    order_ids: list[str]
    channel: str
    currency: str
    state: ReturnState
    stage: Stage
    reason: str
    opened_at: dt.datetime
    expires_at: dt.datetime | None
    approved_minor: int
    released_minor: int
    cleared_minor: int
    refunded_minor: int
    lines: list[ReturnLineState]
    refunds: list[RefundState]


class RefundTold(Struct, frozen=True):
    """A refund to be executed, or that was; ``refund_id`` is the provider's idempotency key."""

    origin: str
    return_id: str
    refund_id: str
    provider: str
    kind: str
    payment_id: str
    amount_minor: int
    tax_minor: int
    currency: str
    state: str
    instructed_at: dt.datetime | None


@post("/v1/returns/eligibility", status_code=200)
async def eligibility(request: Request[Any, Any, State], state: State) -> Eligibility:
    """Whether units of an order could be returned now (the data of `tallytrace.return.requested.v1`), and for what."""
    _, _, judged, order = await anyio.to_thread.run_sync(_judged, core_of(state), await request.body())
    lines = [_eligible(line) for line in judged.lines] if judged.outcome != "refused" else []
    return Eligibility(judged.outcome, judged.reasons, order.currency, sum(line.refund_minor for line in lines),
                       judged.expires_at, lines)  # fmt: skip


@post("/v1/returns", status_code=201)
async def ask(request: Request[Any, Any, State], state: State) -> Response[list[ReturnTold]]:
    """Request a return: it is answered authorised with its liability, refused, or held for review.

    202: on record, but not decided within two seconds; look at it under ``Location``. The same again is answered as it
    stands now; 409: the number is known with other content.
    """
    return await anyio.to_thread.run_sync(_ask, core_of(state), await request.body())


def _ask(core: Core, body: bytes) -> Response[list[ReturnTold]]:
    asked, event, _, _ = _judged(core, body)
    with core.db.transaction() as session:
        known = session.rows("event_times", source=[asked.source], event_id=[asked.event_id])
        if known:
            asked = _message(event, known[0][2])
        if not known and session.one("queued", limit=core.max_queued)[0] >= core.max_queued:
            raise ProblemError(503, "Too much is queued", "the inbox is full; send this again later", retry=True)
        [receipt] = inbox.accept(session, [asked], core.clock())
    if receipt == "conflict":
        detail = f"return {event.return_id} of {event.origin} is known with other content; an exception was opened"
        raise ProblemError(409, "Identity conflict", detail, field="return_id")
    core.desk.wake_workers()
    where = {"Location": f"/v1/returns/{event.return_id}"}
    decided = settled(core.desk, asked.source, asked.event_id)
    if decided is None:
        return Response([], status_code=202, headers=where)
    if decided.state == "rejected":
        raise ProblemError(409, "Return refused", decided.reason, field="return_id")
    told = [one for one in _told(core, event.return_id) if one.origin == event.origin]
    return Response(told, status_code=201, headers=where)


@get("/v1/returns/{return_id:str}", sync_to_thread=True)
def one_return(state: State, return_id: FromPath[str]) -> list[ReturnTold]:
    """The returns with this number, one per origin."""
    if not (found := _told(core_of(state), return_id)):
        raise ProblemError(404, "Not found", f"no return {return_id!r}")
    return found


@get("/v1/returns", sync_to_thread=True)
def returns_by_stage(state: State, stage: FromQuery[Stage | None] = None, limit: Limit = 100) -> list[ReturnTold]:
    """Returns that were requested, the oldest first: of one stage, or all that have not ended."""
    wanted = [one for one, its in STAGES.items() if (its == stage if stage else its != "ended")]
    return _told(core_of(state), "", wanted, limit)


@get("/v1/refunds", sync_to_thread=True)
def refunds_to_execute(
    state: State,
    provider: FromQuery[str] = "",
    stand: Annotated[Literal["instructed", "issued", "failed"], QueryParameter(name="state")] = "instructed",
    limit: Limit = 100,
) -> list[RefundTold]:
    """Refunds that a provider is to execute, once each under its ``refund_id``, the longest waiting first."""
    with core_of(state).db.transaction() as session:
        return [RefundTold(*row) for row in session.rows("refunds_told", provider=provider, state=stand, limit=limit)]


def _judged(core: Core, body: bytes) -> tuple[Message, ReturnRequested, Judged, Order]:
    try:
        event = decode_event(TYPE_OF[ReturnRequested], body)
    except InvalidEventError as error:
        field = error.field.removeprefix("data").lstrip(".")
        raise ProblemError(400, "Malformed return", error.detail, field=field) from error
    assert isinstance(event, ReturnRequested)
    asked = _message(event, core.clock())
    if wrong := fault(asked, core.clock()):
        raise ProblemError(422, "Return refused", wrong.detail, field=wrong.field.removeprefix("data."))
    with core.db.transaction() as session:
        unit = flows.load_request(session, asked, core.rules)
    order = unit.orders.get(correlation_id(event.order_origin, event.order_id))
    if order is None:
        detail = f"order {event.order_id} of {event.order_origin} is not known"
        raise ProblemError(422, "Return refused", detail, field="order_id")
    if order.state not in ("shipped", "partially_shipped"):
        raise ProblemError(422, "Return refused", f"order {event.order_id} is {order.state}", field="order_id")
    step = Step(unit, asked, core.clock(), dt.timedelta())
    return asked, event, returns.judged_of(step, event, order), order


def _message(event: ReturnRequested, at: dt.datetime) -> Message:
    return message(event, source=event.origin, event_id=f"return/{event.return_id}", occurred_at=at)


def _eligible(line: ReturnLine) -> EligibleLine:
    return EligibleLine(
        line.sku, line.order_line_no, line.quantity, line.reason, line.amount_minor, line.tax_minor, line.fee_minor,
        line.whole.owed_minor, line.refund_after,
    )  # fmt: skip


def _told(core: Core, return_id: str, states: list[ReturnState] | None = None, limit: int = 100) -> list[ReturnTold]:
    with core.db.transaction() as session:
        rows = session.rows("returns_told", return_id=return_id, states=list(states or ()), limit=limit)
    return [_as_told(return_of(row[:-2]), row) for row in rows]


def _as_told(back: Return, row: Row) -> ReturnTold:
    lines = [
        ReturnLineState(**{name: getattr(line, name) for name in ReturnLineState.__struct_fields__})
        for line in back.lines
    ]
    return ReturnTold(
        back.correlation_id.hex(), back.origin, back.return_id, row[-2], back.channel, back.currency, back.state,
        STAGES[back.state], back.reason, back.opened_at, back.expires_at, back.approved_minor, back.released_minor,
        back.cleared_minor, back.refunded_minor, lines, msgspec.convert(row[-1], list[RefundState]),
    )  # fmt: skip


HANDLERS: Final[list[BaseRouteHandler]] = [eligibility, ask, one_return, returns_by_stage, refunds_to_execute]
