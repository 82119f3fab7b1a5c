"""Reconciliation as it stands or stood: the cells of each business day, and the transactions their differences are."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, Final

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery, QueryParameter
from msgspec import Struct

from collector.errors import QueryTimeoutError, StorageUnavailableError
from collector.storage import Storage
from lineage.problems import unavailable
from lineage.queries import text
from lineage.rows import micros

MOST: Final = 20_000
EVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
_ERRORS: Final[Any] = {StorageUnavailableError: unavailable, QueryTimeoutError: unavailable}
Wanted = Annotated[str, QueryParameter(max_length=200, description="only this one; empty = all")]
Since = Annotated[date, QueryParameter(description="first business date")]
Until = Annotated[date, QueryParameter(description="last business date")]
AsOf = Annotated[datetime | None, QueryParameter(description="as it stood then; none = as it stands")]
Limit = Annotated[int, QueryParameter(ge=1, le=MOST)]


class Cell(Struct, frozen=True):
    """Two sides of a business day in one channel or provider, legal entity and currency; in minor units.

    ``left_minor`` less ``right_minor`` is what timing, fees, tax, rounding and known exceptions explain, and the rest.
    """

    level: str
    business_date: date
    channel: str
    provider: str
    location: str
    kind: str
    legal_entity: str
    currency: str
    run: int
    reconciled_at: datetime
    left_minor: int
    right_minor: int
    left_count: int
    right_count: int
    timing_minor: int
    fees_minor: int
    tax_minor: int
    rounding_minor: int
    known_minor: int
    unexplained_minor: int


class Sum(Struct, frozen=True):
    """The cells of a level of a day, one provider and currency; ``off_minor`` is what is unexplained, without signs."""

    level: str
    business_date: date
    provider: str
    currency: str
    reconciled_at: datetime
    cells: int
    off: int  # cells with something unexplained
    left_minor: int
    right_minor: int
    timing_minor: int
    fees_minor: int
    tax_minor: int
    rounding_minor: int
    known_minor: int
    unexplained_minor: int
    off_minor: int


class Entry(Struct, frozen=True):
    """A part of a cell's difference: whose transaction it is, and why; a cause is named where nothing explains it."""

    level: str
    business_date: date
    channel: str
    provider: str
    location: str
    kind: str
    legal_entity: str
    currency: str
    run: int
    correlation_id: str
    origin: str
    entity: str
    entity_id: str
    left_minor: int
    right_minor: int
    why: str
    cause: str
    amount_minor: int


def route_handlers(storage: Storage) -> list[HTTPRouteHandler]:
    """``/v1/reconciliation`` and its entries."""

    def asked(name: str, values: dict[str, Any], as_of: datetime | None) -> list[tuple[Any, ...]]:
        return storage.query(text(name), values | {"as_of_us": micros(as_of or EVER)})

    @get("/v1/reconciliation", sync_to_thread=True, tags=["reconciliation"], exception_handlers=_ERRORS)
    def cells(
        level: Wanted = "", since: Since = date(1970, 1, 2), until: Until = date(2149, 1, 1), channel: Wanted = "",
        provider: Wanted = "", currency: Wanted = "", unexplained: FromQuery[bool] = False, as_of: AsOf = None,
        limit: Limit = 1000,
    ) -> list[Cell]:  # fmt: skip
        """The cells of the last run over each level of each day, the latest day first."""
        values = {"level": level, "since": since, "until": until, "channel": channel, "provider": provider,
                  "currency": currency, "unexplained": int(unexplained), "most": limit}  # fmt: skip
        return [Cell(*row) for row in asked("recon_cells", values, as_of)]

    @get("/v1/reconciliation/sums", sync_to_thread=True, tags=["reconciliation"], exception_handlers=_ERRORS)
    def sums(
        since: Since = date(1970, 1, 2), until: Until = date(2149, 1, 1), as_of: AsOf = None, limit: Limit = 5000
    ) -> list[Sum]:
        """The cells added up by level, day, provider and currency, the latest day first."""
        values = {"level": "", "since": since, "until": until, "most": limit}
        return [Sum(*row) for row in asked("recon_sums", values, as_of)]

    @get("/v1/reconciliation/entries", sync_to_thread=True, tags=["reconciliation"], exception_handlers=_ERRORS)
    def entries(
        level: Wanted = "", since: Since = date(1970, 1, 2), until: Until = date(2149, 1, 1), channel: Wanted = "",
        provider: Wanted = "", currency: Wanted = "", kind: Wanted = "", why: Wanted = "", as_of: AsOf = None,
        limit: Limit = 1000,
    ) -> list[Entry]:  # fmt: skip
        """The transactions that differences are made of, those that nothing explains first."""
        values = {"level": level, "since": since, "until": until, "channel": channel, "provider": provider,
                  "currency": currency, "kind": kind, "why": why, "most": limit}  # fmt: skip
        return [Entry(*row) for row in asked("recon_entries", values, as_of)]

    return [cells, sums, entries]
