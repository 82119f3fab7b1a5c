"""The plane: collector, lineage, pages and alerts in one process, the only one that opens ClickHouse."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import msgspec
from litestar import Litestar, Request, Response, get
from litestar.config.compression import CompressionConfig
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.response import Redirect
from msgspec import Struct
from psycopg_pool import PoolTimeout

import alerts.api
import alerts.routing
import alerts.rule
import lineage.api
import lineage.audit
from alerts.schedule import Evaluator
from alerts.senders.webhook import webhook
from alerts.store import Store as AlertStore
from collector import grpc_receiver, otlp, receiver
from collector.errors import StorageError
from collector.segments import SegmentLog
from collector.storage import Storage
from dashboards import app as pages
from lineage import flows, problems, slas
from lineage.measure import Measurer
from lineage.queries import Queries
from lineage.service import Lineage
from tallytrace import health, webserver
from tallytrace.health import Metric
from tallytrace.settings import Settings
from tallytrace.ticks import Tick, ticking

log = logging.getLogger(__name__)

Result = TypeVar("Result")

ALERTS: Final = Path(alerts.__file__).parent
RETRY_SECONDS: Final = 1.0
SENDER_TIMEOUT_SECONDS: Final = 10.0
OPENAPI: Final = OpenAPIConfig(title="Tallytrace: lineage, promises and alerts", version="1", path="/schema")


class Judgement(Struct, frozen=True):
    """The declarations by which the plane judges and alerts, checked."""

    flows: flows.Flows
    slas: tuple[slas.Sla, ...]
    rules: tuple[alerts.rule.Rule, ...]
    routes: alerts.routing.Routes


def judgement(settings: Settings) -> Judgement:
    """Raises DefinitionError, RulesRefusedError or RoutesRefusedError, each naming the place and the reason."""
    promised = slas.load(Path(settings.slas_override) if settings.slas_override else None)
    routes = alerts.routing.load_routes(
        (ALERTS / "routes.toml").read_text(encoding="utf-8"), {"webhook_url": settings.webhook_url}
    )
    rules = alerts.rule.load_rules(
        (ALERTS / "rules.toml").read_text(encoding="utf-8"),
        deadlines={sla.name: sla.deadline.text for sla in promised},
        owners=routes.by_owner,
    )
    expected = flows.load(sla_deadlines={sla.name: sla.deadline for sla in promised})
    return Judgement(expected, promised, rules, routes)


def run(settings: Settings, until: threading.Event) -> None:
    """Serves until the event. Raises what `judgement` raises, and NotServedError."""
    by = judgement(settings)
    settings = _at_home(settings)
    with ExitStack() as undo:
        storage = Storage.connect(settings.clickhouse)
        undo.callback(storage.close)
        segments = undo.enter_context(
            SegmentLog(
                settings.directory / "segments",
                storage.insert_segment,
                otlp.normalised,
                max_bytes=settings.segment_max_bytes,
                max_age_seconds=settings.segment_max_age_seconds,
                max_backlog_bytes=settings.backlog_max_bytes,
            )
        )
        intake = receiver.create_app(segments)
        undo.enter_context(webserver.serving(intake, settings.otlp_host, settings.otlp_port, name="collector"))
        if settings.otlp_grpc_port:
            undo.enter_context(grpc_receiver.serving(segments, settings.otlp_host, settings.otlp_grpc_port))
        # Spans are taken from here on, whatever else is away.
        migrated = _until_it_works(storage.migrate, (StorageError,), "ClickHouse", until)
        store = _until_it_works(lambda: AlertStore.connect(settings.postgres_url), (PoolTimeout,), "PostgreSQL", until)
        if migrated is None or store is None:
            return
        undo.callback(store.close)
        store.migrate()
        undo.enter_context(_serving_lineage(settings, by, storage, store, segments))
        until.wait()


def _at_home(settings: Settings) -> Settings:
    """The same settings, in a working directory where the embedded engine may leave what it derives from schemas."""
    home = settings.directory
    home.mkdir(parents=True, exist_ok=True)
    os.chdir(home)
    return msgspec.structs.replace(settings, home=str(home))


@contextmanager
def _serving_lineage(
    settings: Settings, by: Judgement, storage: Storage, store: AlertStore, segments: SegmentLog
) -> Iterator[None]:
    queries = Queries(storage)
    service = Lineage(queries, by.flows, by.slas, wall, mode=settings.clock)
    measurer = Measurer(queries, by.slas, wall)
    with ExitStack() as undo:
        client = undo.enter_context(httpx.Client(timeout=SENDER_TIMEOUT_SECONDS))
        senders = {"webhook": webhook(client)}
        evaluator = Evaluator(store, service, by.rules, by.routes, senders, wall, public_url=settings.plane_base)
        undo.callback(evaluator.close)
        ticks = [
            Tick("measure", settings.sla_tick_seconds, lambda: measurer.tick(service.now())),
            Tick("alerts", settings.alert_tick_seconds, lambda: evaluator.tick(service.now())),
        ]
        undo.enter_context(ticking(ticks))
        api = _app(settings, storage, store, segments, service)
        undo.enter_context(webserver.serving(api, settings.plane_host, settings.plane_port, name="lineage"))
        yield


def _app(settings: Settings, storage: Storage, store: AlertStore, segments: SegmentLog, service: Lineage) -> Litestar:
    dash = pages.create(service, core_url=settings.core_base, clock=service.now)

    def waiting_for() -> list[str]:
        return [] if storage.ping() else ["ClickHouse does not answer"]

    return Litestar(
        [
            _root,
            pages.serve_below("/ui", dash),
            *lineage.api.route_handlers(service),
            *lineage.audit.route_handlers(storage),
            *alerts.api.route_handlers(store, wall),
            *health.handlers(waiting_for, lambda: _metrics(segments)),
        ],
        openapi_config=OPENAPI,
        logging_config=None,
        compression_config=CompressionConfig(backend="gzip"),
        exception_handlers={HTTPException: problems.refused, Exception: _failed},
    )


def _metrics(segments: SegmentLog) -> list[Metric]:
    now = segments.counters()
    return [
        Metric("tallytrace_requests_accepted_total", "counter", "OTLP requests acknowledged.", now.accepted_requests),
        Metric("tallytrace_spans_accepted_total", "counter", "Spans acknowledged.", now.accepted_spans),
        Metric("tallytrace_segments_stored_total", "counter", "Segments inserted.", now.stored_segments),
        Metric("tallytrace_requests_set_aside", "gauge", "Requests ClickHouse cannot read.", now.quarantined_requests),
        Metric("tallytrace_backlog_segments", "gauge", "Segments not inserted yet.", now.backlog_segments),
        Metric("tallytrace_backlog_bytes", "gauge", "Bytes of spans not inserted yet.", now.backlog_bytes),
    ]


def wall() -> datetime:
    return datetime.now(UTC)


@get("/", include_in_schema=False, sync_to_thread=False)
def _root() -> Redirect:
    return Redirect("/ui/")


def _failed(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problems.refused(request, HTTPException(status_code=500, detail="The request failed; the log says why."))


def _until_it_works(
    attempt: Callable[[], Result], faults: tuple[type[Exception], ...], what: str, until: threading.Event
) -> Result | None:
    """Tries again while the other side is away; None when asked to stop before it came."""
    while not until.is_set():
        try:
            return attempt()
        except faults as fault:
            log.warning("%s does not answer yet: %s", what, fault)
            until.wait(RETRY_SECONDS)
    return None
