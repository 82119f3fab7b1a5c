"""The part of the lineage API that finds transactions by what they say, compares them and hands them out."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from litestar import Request, Response, get
from litestar.exceptions import ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter

from lineage.export import as_csv, as_ocel
from lineage.lookup import MAX_LENGTH
from lineage.model import (
    Choice,
    Comparison,
    FindingKind,
    Journey,
    SearchResult,
    Unknown,
)
from lineage.problems import ERRORS, not_found
from lineage.search import Criteria
from lineage.service import Lineage

MOST_ITEMS: Final = 1000
MOST_EXPORTED: Final = 100
AnyRequest = Request[Any, Any, Any]
Chosen = Annotated[str, QueryParameter(max_length=200, description="only this one; empty = all")]
AnyId = Annotated[str, QueryParameter(name="id", min_length=1, max_length=MAX_LENGTH)]
Minor = Annotated[int | None, QueryParameter(description="amount of a hop, in minor units; none = any")]
Days = Annotated[int, QueryParameter(ge=1, le=400, description="how far back")]


def route_handlers(lineage: Lineage) -> list[HTTPRouteHandler]:
    """Every answer is a Struct of lineage.model, or a file; every error a problem document."""

    @get("/v1/search", sync_to_thread=True, tags=["transactions"], exception_handlers=ERRORS)
    def search(
        since: Annotated[datetime | None, QueryParameter(description="none = 30 days before until")] = None,
        until: Annotated[datetime | None, QueryParameter(description="none = now")] = None,
        channel: Chosen = "",
        location: Chosen = "",
        provider: Chosen = "",
        system: Chosen = "",
        service: Chosen = "",
        hop: Chosen = "",
        stage: Chosen = "",
        outcome: Chosen = "",
        customer: Chosen = "",
        currency: Chosen = "",
        sku: Chosen = "",
        attribute: Annotated[str, QueryParameter(max_length=400, description="name=value of any other attribute")] = "",
        least_minor: Minor = None,
        most_minor: Minor = None,
        kind: Chosen = "",
        in_state: Annotated[str, QueryParameter(name="state", max_length=200, description="shipped, posted")] = "",
        owner: Chosen = "",
        wrong: Annotated[FindingKind | None, QueryParameter(description="a kind of finding")] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
        after: Annotated[str, QueryParameter(pattern="^(-?[0-9]{1,17}-[0-9a-f]{32})?$")] = "",
    ) -> SearchResult:
        """Transactions of which some span meets each criterion; kind, state and owner are those of the whole."""
        name, equals, value = attribute.partition("=")
        if attribute and not (name and equals):
            raise ValidationException("attribute: write name=value")
        upto = _utc(until) or lineage.now()
        wanted = Criteria(
            since=_utc(since) or upto - timedelta(days=30), until=upto, channel=channel, location=location,
            provider=provider, system=system, service=service, hop=hop, stage=stage, outcome=outcome,
            customer=customer, currency=currency, sku=sku, attribute=name, value=value, least_minor=least_minor,
            most_minor=most_minor, kind=kind, state=in_state, owner=owner, wrong=wrong or "", after=after,
        )  # fmt: skip
        return lineage.search(wanted, limit)

    @get("/v1/compare", sync_to_thread=True, tags=["transactions"], exception_handlers=ERRORS)
    def compare(
        request: AnyRequest,
        any_id: AnyId,
        other_id: Annotated[
            str, QueryParameter(name="with", max_length=MAX_LENGTH, description="none = its flow")
        ] = "",
    ) -> Response[Comparison | Choice]:
        """A journey step by step beside its declared flow, or beside the journey of ``with``."""
        found = lineage.compare(any_id, other_id)
        if isinstance(found, Unknown):
            return not_found(request, f"No transaction is known by {found.query!r}.", found.suggestions)
        return Response(found, status_code=300 if isinstance(found, Choice) else 200)

    @get("/v1/export/{form:str}", sync_to_thread=True, tags=["transactions"], exception_handlers=ERRORS)
    def export_journeys(
        request: AnyRequest,
        form: FromPath[str],
        ids: Annotated[list[str], QueryParameter(name="id", max_items=MOST_EXPORTED, description="repeat for several")],
    ) -> Response[Any]:
        """Journeys as json, csv (a line for each hop) or ocel (an object-centric event log, OCEL 2.0)."""
        if form not in ("json", "csv", "ocel"):
            raise ValidationException("form: json, csv or ocel")
        journeys: list[Journey] = []
        for one in ids:
            found = lineage.journey(one)
            if isinstance(found, Unknown):
                return not_found(request, f"No transaction is known by {one!r}.", found.suggestions)
            if isinstance(found, Choice):
                return Response(found, status_code=300)
            journeys.append(found)
        if form == "csv":
            return Response(as_csv(journeys), media_type="text/csv; charset=utf-8")
        return Response(as_ocel(journeys) if form == "ocel" else journeys)

    return [search, compare, export_journeys]


def _utc(at: datetime | None) -> datetime | None:
    """A time without a zone is in UTC."""
    return at.replace(tzinfo=UTC) if at and at.tzinfo is None else at
