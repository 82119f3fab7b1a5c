"""The books over HTTP: periods and their close, statements of accounts, journals and the summaries they are in."""

import datetime as dt
from typing import Annotated, Final

from litestar import get, post
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Struct

from sync_core.api import Core, ProblemError, core_of
from sync_core.ledger import closing
from sync_core.ledger.closing import PeriodAction, PeriodOrder, PeriodStatus
from sync_core.ledger.periods import PeriodState

Limit = Annotated[int, QueryParameter(ge=1, le=1000)]


class Period(Struct, frozen=True):
    """A period with what was booked in it."""

    legal_entity: str
    period: str
    state: PeriodState
    journals: int
    closed_at: dt.datetime | None


class OpenEntry(Struct, frozen=True):
    """Something that is open on an account; ``journal_id`` is what opened it."""

    number: int
    business_date: dt.date
    document: str
    reference: str
    order_id: str
    origin: str
    correlation_id: str
    journal_id: str
    currency: str
    amount_minor: int
    open_minor: int
    due_at: dt.datetime
    age_days: int


class Ages(Struct, frozen=True):
    """What an account holds in one currency, and what of it is open by age; the rest was booked and never settles."""

    currency: str
    balance_minor: int
    lines: int
    open_minor: int
    to_7_days_minor: int
    to_30_days_minor: int
    to_90_days_minor: int
    older_minor: int


class Statement(Struct, frozen=True):
    """An account by age, with the oldest entries that are open."""

    account: str
    until: dt.date
    totals: list[Ages]
    entries: list[OpenEntry]


class Margin(Struct, frozen=True):
    """What a channel sold, net of discounts and returns and without tax, and what that cost and took."""

    legal_entity: str
    channel: str
    currency: str
    sales_minor: int
    cost_minor: int
    expenses_minor: int
    margin_minor: int


class BookedLine(Struct, frozen=True):
    """A line; ``functional_minor`` is in the currency of the books."""

    account: str
    amount_minor: int
    functional_minor: int
    kind: str
    quantity: int
    reference: str
    source: str
    tax_code: str


class Booked(Struct, frozen=True):
    """A journal with its dimensions. The ERP has it as ``erp_document``: by itself, or in ``summary_id``."""

    journal_id: str
    legal_entity: str
    business_date: dt.date
    original_date: dt.date | None
    occurred_at: dt.datetime
    document: str
    entity_id: str
    channel: str
    location: str
    currency: str
    functional_currency: str
    correlation_id: str
    rule_version: str
    event_source: str
    event_id: str
    source: str
    summary_id: str
    erp_document: str
    lines: list[BookedLine]


@get("/v1/periods", sync_to_thread=True)
def periods(state: State, legal_entity: FromQuery[str] = "", limit: Limit = 100) -> list[Period]:
    """Periods with entries, or that are not open, latest first."""
    with core_of(state).db.transaction() as session:
        return [Period(*row) for row in session.rows("periods", entity=legal_entity, limit=limit)]


@get("/v1/periods/{period:str}", sync_to_thread=True)
def period_status(state: State, period: FromPath[str], legal_entity: FromQuery[str] = "") -> PeriodStatus:
    """A period with what should be done before it is closed, and who did what to it."""
    core = core_of(state)
    entity = _entity(core, legal_entity)
    with core.db.transaction() as session:
        try:
            return closing.status(session, core.rules, entity, period, core.clock())
        except ValueError as error:
            raise _no_period(period) from error


@post("/v1/periods/{period:str}/{action:str}", status_code=200, sync_to_thread=True)
def change_period(
    state: State, period: FromPath[str], action: FromPath[PeriodAction], data: JSONBody[PeriodOrder]
) -> PeriodStatus:
    """Begin to close a period, close it, or reopen it, saying who and why.

    One that is closing takes only what finance posts; a closed one takes nothing. 409 says what is in the way.
    """
    core = core_of(state)
    entity = _entity(core, data.legal_entity)
    with core.db.transaction() as session:
        try:
            done = closing.change(session, core.rules, entity, period, action, data, core.clock())
        except ValueError as error:
            raise _no_period(period) from error
    if isinstance(done, str):
        raise ProblemError(409, "Period not changed", done)
    return done


@get("/v1/statement", sync_to_thread=True)
def statement(state: State, account: FromQuery[str], until: FromQuery[str] = "", limit: Limit = 100) -> Statement:
    """What is open on an account that is settled, by age, at the end of a day."""
    core = core_of(state)
    try:
        day = dt.date.fromisoformat(until) if until else core.clock().date()
    except ValueError as error:
        raise ProblemError(400, "Malformed request", f"{until!r} is no date", field="until") from error
    values = {"account": account, "until": day}
    with core.db.transaction() as session:
        totals = [Ages(*row) for row in session.rows("statement_ages", **values)]
        rows = session.rows("statement", **values, limit=limit) + session.rows("statement_lines", **values, limit=limit)
    entries = sorted((OpenEntry(*(*row, (day - row[1]).days)) for row in rows), key=lambda one: one.business_date)
    return Statement(account, day, totals, entries[:limit])


@get("/v1/margin", sync_to_thread=True)
def margin(state: State, since: FromQuery[dt.date], until: FromQuery[dt.date]) -> list[Margin]:
    """What each channel sold within days, less discounts and returns, and what is left of it."""
    core = core_of(state)
    values = {"since": since, "until": until, "cost": core.rules.accounts.cost_of_goods}
    with core.db.transaction() as session:
        rows = session.rows("margins", **values)
    return [Margin(*(*row, row[3] - row[4] - row[5])) for row in rows]


@get("/v1/journals", sync_to_thread=True)
def journal_of(state: State, id: FromQuery[str]) -> Booked:
    """One journal with its dimensions and lines, and where the ERP has it."""
    with core_of(state).db.transaction() as session:
        row = session.run("journal", id=id).fetchone()
        if row is None:
            raise ProblemError(404, "Not found", f"no journal {id!r}")
        values = (*row, [BookedLine(*line) for line in session.rows("lines_of_journal", id=id)])
        return Booked(*values)


@get("/v1/summaries", sync_to_thread=True)
def summarised(state: State, id: FromQuery[str]) -> list[str]:
    """The journals that a summary stands for."""
    with core_of(state).db.transaction() as session:
        return [row[0] for row in session.rows("summary_journals_of", id=id)]


def _entity(core: Core, named: str) -> str:
    entity = named or next(iter(core.rules.entities))
    if entity not in core.rules.entities:
        known = ", ".join(core.rules.entities)
        raise ProblemError(
            404, "Unknown legal entity", f"no legal entity {entity!r}; known: {known}", field="legal_entity"
        )
    return entity


def _no_period(period: str) -> ProblemError:
    return ProblemError(400, "No period", f"{period!r} is not a month such as 2026-11", field="period")


HANDLERS: Final[tuple[BaseRouteHandler, ...]] = (
    periods, period_status, change_period, statement, margin, journal_of, summarised,
)  # fmt: skip
