"""The part of the lineage API that asks about many transactions: what is joined, what is wrong, how far it reaches."""

from typing import Annotated, Any, Final

from litestar import Request, Response, get
from litestar.exceptions import ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter

from lineage.lookup import MAX_LENGTH
from lineage.model import (
    BlastRadius,
    Choice,
    FindingKind,
    LinkedPage,
    Troubles,
    Unknown,
)
from lineage.problems import ERRORS, not_found
from lineage.service import Lineage
from lineage.troubles import Wanted

MOST_ITEMS: Final = 1000
AnyRequest = Request[Any, Any, Any]
Chosen = Annotated[str, QueryParameter(max_length=200, description="only this one; empty = all")]
AnyId = Annotated[str, QueryParameter(name="id", min_length=1, max_length=MAX_LENGTH)]
Days = Annotated[int, QueryParameter(ge=1, le=400, description="how far back")]


def route_handlers(lineage: Lineage) -> list[HTTPRouteHandler]:
    """Every answer is a Struct of lineage.model; every error a problem document."""

    @get("/v1/linked", sync_to_thread=True, tags=["transactions"], exception_handlers=ERRORS)
    def linked(
        request: AnyRequest,
        any_id: AnyId,
        kind: Annotated[str, QueryParameter(max_length=20, description="settles, returns, ...; empty = all")] = "",
        after: Annotated[str, QueryParameter(pattern="^([0-9a-f]{32})?$", description="of the page before")] = "",
        limit: Annotated[int, QueryParameter(ge=2, le=MOST_ITEMS, description="links read for a page")] = 200,
    ) -> Response[LinkedPage | Choice]:
        """What one transaction is joined to, page by page, with sums over all: the lines of a settlement, say."""
        found = lineage.linked(any_id, kind, after, limit)
        if isinstance(found, Unknown):
            return not_found(request, f"No transaction is known by {any_id!r}.", found.suggestions)
        return Response(found, status_code=300 if isinstance(found, Choice) else 200)

    @get("/v1/findings", sync_to_thread=True, tags=["obligations"], exception_handlers=ERRORS)
    def findings(
        kind: Annotated[FindingKind | None, QueryParameter(description="only this one; none = all")] = None,
        owner: Chosen = "",
        hop: Chosen = "",
        stage: Chosen = "",
        channel: Chosen = "",
        location: Chosen = "",
        days: Days = 30,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_ITEMS)] = 100,
    ) -> Troubles:
        """What failed, is stuck, overdue, out of order or never came, with its stage and cause, oldest first."""
        return lineage.troubles(
            Wanted(kind=kind or "", owner=owner, hop=hop, stage=stage, channel=channel, location=location,
                            days=days, most=limit)
        )  # fmt: skip

    @get("/v1/blast-radius", sync_to_thread=True, tags=["obligations"], exception_handlers=ERRORS)
    def blast_radius(
        request: AnyRequest,
        hop: Chosen = "",
        feed: Chosen = "",
        channel: Chosen = "",
        location: Chosen = "",
        days: Days = 30,
    ) -> Response[BlastRadius]:
        """What a failing hop, or a late feed of a channel and location, holds up: orders, stores, SKUs, money."""
        if bool(hop) == bool(feed):
            raise ValidationException("name either a hop or a feed")
        found = lineage.blast_of_hop(hop, days) if hop else lineage.blast_of_feed(feed, channel, location)
        return Response(found) if found else not_found(request, f"No feed {feed!r} was heard of there.")

    return [linked, findings, blast_radius]
