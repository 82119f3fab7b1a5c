"""Promises over HTTP: as measured last, their items, reports as they were known, OpenSLO."""

from datetime import date, datetime
from typing import Annotated, Any, Final

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter

from lineage.model import Sample, SlaDetail, SlaItems, SlaTile, View
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
Until = Annotated[date | None, QueryParameter(description="as of the end of that day; none = now")]


def route_handlers(lineage: Lineage) -> list[HTTPRouteHandler]:
    """Every answer is a Struct of lineage.model, or a document; every error a problem document."""

    def sla_unknown(request: AnyRequest, name: str) -> Response[Any]:
        return not_found(request, f"No SLA is called {name!r}; there are {', '.join(lineage.sla_names)}.")

    @get("/v1/slas", sync_to_thread=True, tags=["promises"], exception_handlers=ERRORS)
    def slas(
        channel: Chosen = "", location: Chosen = "", brand: Chosen = "", until: Until = None
    ) -> tuple[SlaTile, ...]:
        """Every promise that is measured of the place, as it was measured last, the worst state first."""
        return lineage.tiles(View(channel=channel, location=location, brand=brand, until=until))

    @get("/v1/slas/{name:str}", sync_to_thread=True, tags=["promises"], exception_handlers=ERRORS)
    def sla(
        request: AnyRequest,
        name: FromPath[str],
        channel: Chosen = "",
        location: Chosen = "",
        brand: Chosen = "",
        until: Until = None,
    ) -> Response[SlaDetail]:
        """One promise of a place, with all its segments, or those of a brand, the worst first."""
        found = lineage.sla(name, View(channel=channel, location=location, brand=brand, until=until))
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
        brand: Chosen = "",
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_ITEMS)] = 100,
    ) -> Response[SlaItems]:
        """The judged items of the present window: overdue first, then bad, then pending."""
        verdicts = tuple(verdict or ())
        place = {"channel": channel, "location": location, "provider": provider, "kind": kind}
        wanted = Filter(verdicts=verdicts, most=limit, within=lineage.brands.within(brand), **place)
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

    return [slas, sla, sla_items, sla_report, sla_openslo]
