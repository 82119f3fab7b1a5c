"""Settlements over HTTP: mappings of files in, what is matched and open out, and what people decide by hand."""

import datetime as dt
from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, get, post, put
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Struct

from sync_core.api import ProblemError, core_of
from sync_core.connectors import mapped, online_retail
from sync_core.connectors.known import SETTLEMENT_FILES
from sync_core.settlements import manual_matching, matching
from sync_core.settlements.manual_matching import Decided, Decision, DecisionRefused

Limit = Annotated[int, QueryParameter(ge=1, le=1000)]
MOST_MAPPING_BYTES: Final = 64 * 1024
PROPOSED_WITHIN_DAYS: Final = 7


class KnownMapping(Struct, frozen=True):
    """A kind of file that a mapping describes."""

    name: str
    body: str
    set_at: dt.datetime


class SettlementState(Struct, frozen=True):
    """A settlement or a statement as it stands; ``open_minor`` is what its open lines come to, without their signs."""

    origin: str
    settlement_id: str
    version: int
    kind: str
    currency: str
    payout_id: str
    business_date: dt.date
    correlation_id: str
    file: str
    lines: int
    state: str
    received_at: dt.datetime
    open_lines: int
    open_minor: int


class OpenSide(Struct, frozen=True):
    """A line or an item that nothing settles yet, or that is disputed."""

    side: str
    id: int
    account: str
    currency: str
    amount_minor: int
    open_minor: int
    reference: str
    order_id: str
    origin: str
    settlement_id: str
    business_date: dt.date
    exception_id: str
    state: str


class Proposal(Struct, frozen=True):
    """A line and an item that agree in amount and nearly in date, and nothing else does: it books nothing."""

    line_id: int
    item_id: int
    account: str
    currency: str
    amount_minor: int
    days_apart: int


class Recorded(Struct, frozen=True):
    """What somebody decided."""

    match_id: int
    line_id: int | None
    item_id: int | None
    amount_minor: int
    difference_minor: int
    rule: str
    rule_version: str
    by: str
    reason: str
    at: dt.datetime


@put("/v1/mappings/{name:str}", request_max_body_size=MOST_MAPPING_BYTES)
async def put_mapping(request: Request[Any, Any, State], state: State, name: FromPath[str]) -> KnownMapping:
    """Describe a kind of delimited file (TOML); it is then a connector of this name."""
    body, core = await request.body(), core_of(state)
    if name in SETTLEMENT_FILES or name == online_retail.NAME:
        raise ProblemError(409, "Name taken", f"{name!r} is a connector of its own", field="name")
    try:
        mapped.parse(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        detail, _, path = str(error).partition(" - at `$")
        raise ProblemError(400, "Malformed mapping", detail, field=path.strip("`.")) from error
    with core.db.transaction() as session:
        session.run("save_mapping", name=name, body=body.decode(), now=core.clock())
    return KnownMapping(name, body.decode(), core.clock())


@get("/v1/mappings", sync_to_thread=True)
def mappings(state: State) -> list[KnownMapping]:
    """The kinds of files that mappings describe."""
    with core_of(state).db.transaction() as session:
        return [KnownMapping(*row) for row in session.rows("mappings")]


@get("/v1/settlements", sync_to_thread=True)
def settlements(state: State, origin: FromQuery[str] = "", limit: Limit = 100) -> list[SettlementState]:
    """Settlements and statements, the latest first."""
    with core_of(state).db.transaction() as session:
        return [SettlementState(*row) for row in session.rows("settlements_told", origin=origin, limit=limit)]


@get("/v1/settlements/open", sync_to_thread=True)
def open_sides(
    state: State,
    account: FromQuery[str] = "",
    stand: Annotated[
        Literal["", "expected", "partially matched", "unmatched", "disputed"], QueryParameter(name="state")
    ] = "",
    limit: Limit = 100,
) -> list[OpenSide]:
    """Lines and items that nothing settles yet, the oldest first."""
    with core_of(state).db.transaction() as session:
        return [OpenSide(*row) for row in session.rows("open_sides", account=account, state=stand, limit=limit)]


@get("/v1/settlements/proposals", sync_to_thread=True)
def proposals(state: State, limit: Limit = 100) -> list[Proposal]:
    """What may belong together by amount and date alone: to be matched by hand, or not."""
    with core_of(state).db.transaction() as session:
        return [Proposal(*row) for row in session.rows("proposals", days=PROPOSED_WITHIN_DAYS, limit=limit)]


@get("/v1/settlements/decisions", sync_to_thread=True)
def decisions(state: State, limit: Limit = 100) -> list[Recorded]:
    """Who matched or wrote off what by hand, and why; the latest first."""
    with core_of(state).db.transaction() as session:
        return [Recorded(*row) for row in session.rows("decisions", limit=limit)]


@post("/v1/settlements/{action:str}", status_code=200, sync_to_thread=True)
def decide(state: State, action: FromPath[Literal["match", "write_off"]], data: JSONBody[Decision]) -> Decided:
    """Match lines with items, or write off what is open of them, saying who and why; up to the limit of the rules."""
    core = core_of(state)
    try:
        with core.db.transaction() as session:
            return manual_matching.decide(session, action, data, matching.load_rules(), core.rules, core.clock())
    except DecisionRefused as refused:
        raise ProblemError(422, "Decision refused", refused.detail, field=refused.field) from refused


HANDLERS: Final[list[BaseRouteHandler]] = [
    put_mapping, mappings, settlements, open_sides, proposals, decisions, decide,
]  # fmt: skip
