"""The lineage API: transactions by any ID, promises, obligations, technical traces."""

from datetime import date, datetime
from typing import Annotated, Any, Final

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter

from lineage import inquiries, retrieval
from lineage.lookup import MAX_LENGTH
from lineage.model import (
    Choice,
    Journey,
    Overdue,
    Sample,
    SlaDetail,
    SlaItems,
    SlaTile,
    Trace,
    Unknown,
)
from lineage.problems import ERRORS, not_found
from lineage.queries import Filter
from lineage.service import Lineage

MOST_ITEMS: Final = 1000
AnyRequest = Request[Any, Any, Any]
Verdicts = Annotated[
    list[str] | None,
    QueryParameter(description="good, bad, pending, excused, refused, overdue; repeat for several; none = all"),
]
Chosen = Annotated[str, QueryParameter(max_length=200, description="only this one; empty = all")]


def route_handlers(lineage: Lineage) -> list[HTTPRouteHandler]:
    """Every answer is a Struct of lineage.model; every error a problem document."""

    def answer(request: AnyRequest, any_id: str) -> Response[Any]:
        found = lineage.journey(any_id)
        if isinstance(found, Unknown):
            detail = f"No transaction is known by {any_id!r}."
            return not_found(request, detail, found.suggestions)
        return Response(found, status_code=300 if isinstance(found, Choice) else 200)

    def sla_unknown(request: AnyRequest, name: str) -> Response[Any]:
        return not_found(request, f"No SLA is called {name!r}; there are {', '.join(lineage.sla_names)}.")

    @get("/v1/transactions", sync_to_thread=True, tags=["transactions"], exception_handlers=ERRORS)
    def transaction_by_query(
        request: AnyRequest,
        any_id: Annotated[str, QueryParameter(name="id", min_length=1, max_length=MAX_LENGTH)],
    ) -> Response[Journey | Choice]:
        """The journey of the transaction that any ID belongs to; for IDs that hold slashes.

        300 with the matches when several origins know the number, 404 with suggestions when none does.
        """
        return answer(request, any_id)

    @get("/v1/transactions/{any_id:path}", sync_to_thread=True, tags=["transactions"], exception_handlers=ERRORS)
    def transaction(request: AnyRequest, any_id: FromPath[str]) -> Response[Journey | Choice]:
        """The journey of the transaction that any ID belongs to: a business number, a correlation ID or a trace ID.

        300 with the matches when several origins know the number, 404 with suggestions when none does.
        """
        return answer(request, any_id.removeprefix("/"))

    @get("/v1/traces/{trace_id:str}", sync_to_thread=True, tags=["transactions"], exception_handlers=ERRORS)
    def technical_trace(request: AnyRequest, trace_id: FromPath[str]) -> Response[Trace]:
        """Every span of one trace, a parent before its children."""
        found = lineage.trace(trace_id)
        return Response(found) if found else not_found(request, f"No trace has the ID {trace_id!r}.")

    @get("/v1/slas", sync_to_thread=True, tags=["promises"], exception_handlers=ERRORS)
    def slas() -> tuple[SlaTile, ...]:
        """Every promise as it was measured last, the worst state first."""
        return lineage.tiles()

    @get("/v1/slas/{name:str}", sync_to_thread=True, tags=["promises"], exception_handlers=ERRORS)
    def sla(request: AnyRequest, name: FromPath[str]) -> Response[SlaDetail]:
        """One promise with its segments, the worst first."""
        found = lineage.sla(name)
        return Response(found) if found else sla_unknown(request, name)

    @get("/v1/slas/{name:str}/items", sync_to_thread=True, tags=["promises"], exception_handlers=ERRORS)
    def sla_items(
        request: AnyRequest,
        name: FromPath[str],
        verdict: Verdicts = None,
        channel: Chosen = "",
        location: Chosen = "",
        provider: Chosen = "",
        kind: Chosen = "",
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_ITEMS)] = 100,
    ) -> Response[SlaItems]:
        """The judged items of the present window: overdue first, then bad, then pending."""
        verdicts = tuple(verdict or ())
        place = {"channel": channel, "location": location, "provider": provider, "kind": kind}
        wanted = Filter(verdicts=verdicts, most=limit, **place)
        found = lineage.items(name, wanted)
        return Response(found) if found else sla_unknown(request, name)

    @get("/v1/reports/slas", sync_to_thread=True, tags=["promises"], exception_handlers=ERRORS)
    def sla_report(
        day: Annotated[date, QueryParameter(description="the last day of the windows")],
        known_at: Annotated[datetime | None, QueryParameter(description="as it was known then; none = now")] = None,
    ) -> tuple[Sample, ...]:
        """Every promise, whole and by segment, over the window that ended with a day; late facts give new versions."""
        return lineage.report(day, known_at)

    @get("/v1/export/openslo", sync_to_thread=True, tags=["promises"], exception_handlers=ERRORS)
    def sla_openslo() -> Response[str]:
        """Every promise as an OpenSLO v1 document, with what was measured last as annotations."""
        return Response(lineage.openslo(), media_type="application/yaml")

    @get("/v1/overdue", sync_to_thread=True, tags=["obligations"], exception_handlers=ERRORS)
    def overdue() -> Overdue:
        """What is past its deadline and still open, by owner, oldest first."""
        return lineage.overdue()

    own = [transaction_by_query, transaction, technical_trace, slas, sla, sla_items, sla_report, sla_openslo, overdue]
    return [*own, *inquiries.route_handlers(lineage), *retrieval.route_handlers(lineage)]
