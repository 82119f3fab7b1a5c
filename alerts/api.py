"""GET /v1/alerts: what is open, what was, and who was told."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

from litestar import Request, Response, get
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from alerts.store import Alert, DeliveryRecord, RuleRun, Store, StoreUnavailableError
from lineage.model import Problem
from lineage.problems import not_found, refused, respond

AnyRequest = Request[Any, Any, Any]


class AlertView(Struct, frozen=True):
    alert: Alert
    deliveries: tuple[DeliveryRecord, ...]


class Alerts(Struct, frozen=True):
    """``runs``: the newest evaluation of each rule, which says how old this answer's knowledge is."""

    as_of: datetime
    open: tuple[AlertView, ...]
    recent: tuple[AlertView, ...]
    runs: tuple[RuleRun, ...]


def unavailable(request: AnyRequest, error: StoreUnavailableError) -> Response[Any]:
    return respond(
        Problem(
            type="urn:tallytrace:problem:unavailable",
            title="The store of alerts does not answer",
            status=503,
            detail=str(error),
            instance=request.url.path,
        )
    )


_ERRORS: Final[Any] = {HTTPException: refused, StoreUnavailableError: unavailable}


def route_handlers(store: Store, clock: Callable[[], datetime]) -> list[HTTPRouteHandler]:
    @get("/v1/alerts", sync_to_thread=True, tags=["alerts"], exception_handlers=_ERRORS)
    def get_alerts(limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100) -> Alerts:
        """Open alerts and those resolved last, newest first."""
        return Alerts(
            as_of=clock(),
            open=_views(store, store.open_alerts(limit=limit)),
            recent=_views(store, store.resolved_alerts(limit=limit)),
            runs=tuple(store.last_runs()),
        )

    @get("/v1/alerts/{alert_id:str}", sync_to_thread=True, tags=["alerts"], exception_handlers=_ERRORS)
    def get_alert(request: AnyRequest, alert_id: FromPath[str]) -> Response[AlertView]:
        """One alert, with everyone who was told of it."""
        alert = store.alert(alert_id)
        if alert is None:
            return not_found(request, f"No alert is named {alert_id!r}.")
        return Response(_views(store, [alert])[0])

    return [get_alerts, get_alert]


def _views(store: Store, alerts: Sequence[Alert]) -> tuple[AlertView, ...]:
    deliveries = store.deliveries_of([alert.alert_id for alert in alerts])
    return tuple(
        AlertView(alert, tuple(each for each in deliveries if each.dedup_key == alert.alert_id)) for alert in alerts
    )
