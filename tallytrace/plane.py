"""The plane: collector, lineage, pages and alerts in one process, the only one that opens ClickHouse."""

import gc
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import msgspec
from litestar import Litestar, Request, Response, get
from litestar.config.compression import CompressionConfig
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.response import Redirect
from msgspec import Struct
from psycopg_pool import PoolTimeout

import alerts.acknowledging
import alerts.api
import lineage.api
import lineage.audit
import lineage.operations
import lineage.order_states
import lineage.reconciliation
from alerts.schedule import Evaluator
from alerts.store import Store as AlertStore
from collector import grpc_receiver, otlp, receiver, retention
from collector.errors import StorageError
from collector.intake import Intake
from collector.segments import SegmentLog
from collector.storage import Storage
from dashboards import app as pages
from lineage import brands, flows, problems, slas
from lineage.measure import Measurer
from lineage.queries import Queries
from lineage.service import Lineage
from tallytrace import alerting, health, sla_metrics, webserver
from tallytrace.alert_reader import Reader
from tallytrace.canary import Canary
from tallytrace.health import Metric
from tallytrace.keys import Senders
from tallytrace.settings import BACKFILLING, Settings, local_url
from tallytrace.ticks import Tick, ticking

log = logging.getLogger(__name__)

Result = TypeVar("Result")

RETRY_SECONDS: Final = 1.0
SENDER_TIMEOUT_SECONDS: Final = 10.0
OPEN_SECONDS: Final = 60.0
OPENAPI: Final = OpenAPIConfig(title="Tallytrace: lineage, promises and alerts", version="1", path="/schema")


class Judgement(Struct, frozen=True):
    """The declarations by which the plane judges and alerts, checked."""

    flows: flows.Flows
    slas: tuple[slas.Sla, ...]
    brands: brands.Brands
    alerts: alerts.api.Book


def judgement(settings: Settings) -> Judgement:
    """Raises DefinitionError, RulesRefusedError or RoutesRefusedError, each naming the place and the reason."""
    promised = slas.load(Path(settings.slas_override) if settings.slas_override else None)
    expected = flows.load(promises=promised)
    trading = brands.load(Path(settings.brands)) if settings.brands else brands.NONE
    return Judgement(expected, promised, trading, alerting.book(settings, promised))


def run(settings: Settings, until: threading.Event) -> None:
    """Serves until the event. Raises what `judgement` raises, RetentionError, NoKeyError and NotServedError."""
    by = judgement(settings)
    keep = retention.parse(settings.retention)
    settings = _at_home(settings)
    senders = Senders(settings)
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
                reserve_bytes=settings.disk_reserve_bytes,
                held=True,
            )
        )
        taken = Intake(segments, senders.find)
        intake = receiver.create_app(segments, taken)
        undo.enter_context(webserver.serving(intake, settings.otlp_host, settings.otlp_port, name="collector"))
        if settings.otlp_grpc_port:
            undo.enter_context(grpc_receiver.serving(taken, settings.otlp_host, settings.otlp_grpc_port))
        # Spans are taken from here on, whatever else is away.
        migrated = _until_it_works(lambda: _migrate(storage, keep), (StorageError,), "ClickHouse", until)
        store = _until_it_works(lambda: AlertStore.connect(settings.postgres_url), (PoolTimeout,), "PostgreSQL", until)
        if migrated is None or store is None:
            return
        segments.release()
        undo.callback(store.close)
        store.migrate()
        undo.enter_context(_serving_lineage(settings, by, storage, store, segments, taken, until))
        gc.freeze()  # half a million objects that stay: to walk them holds everybody up for 0.2 s
        until.wait()


def _migrate(storage: Storage, keep: Mapping[str, int]) -> bool:
    storage.migrate()
    for statement in storage.keep(keep):
        log.info("retention: %s", statement)
    return True


def _at_home(settings: Settings) -> Settings:
    """The same settings, in a working directory where the embedded engine may leave what it derives from schemas."""
    home = settings.directory
    home.mkdir(parents=True, exist_ok=True)
    os.chdir(home)
    return msgspec.structs.replace(settings, home=str(home))


@contextmanager
def _serving_lineage(
    settings: Settings,
    by: Judgement,
    storage: Storage,
    store: AlertStore,
    segments: SegmentLog,
    taken: Intake,
    ends: threading.Event,
) -> Iterator[None]:
    queries = Queries(storage)
    service = Lineage(queries, by.flows, by.slas, wall, mode=settings.clock, brands=by.brands, ends=ends)
    measurer = Measurer(Queries(storage.aside()), by.slas, wall, paced=True, brands=by.brands, ends=ends)
    with ExitStack() as undo:
        client = undo.enter_context(httpx.Client(timeout=SENDER_TIMEOUT_SECONDS))
        reader = Reader(service, queries, client, settings.core_base)
        evaluator = alerting.evaluator(settings, by.alerts, store, reader, client, wall)
        undo.callback(evaluator.close)
        progress = lineage.order_states.Progress(storage, by.flows, service.now)
        ticks = [
            Tick("measure", settings.sla_tick_seconds, lambda: measurer.tick(service.now())),
            Tick("open items", OPEN_SECONDS, service.judge_open),
            Tick("order states", OPEN_SECONDS, progress.keep),
            Tick("alerts", settings.alert_tick_seconds, lambda: evaluator.tick(service.now())),
        ]
        ticks = [_held(tick, settings.directory / BACKFILLING) for tick in ticks]
        canary = Canary(f"{settings.collector_base}/v1/traces", settings.collector_key, service.journey, wall, client)
        if settings.canary_seconds and settings.clock == "wall":
            ticks.append(Tick("canary", settings.canary_seconds, canary.fly))
        alerting_api = [
            *alerts.api.route_handlers(store, wall),
            *alerts.acknowledging.form_handlers(store, evaluator.teller, wall),
            *alerts.api.desk_handlers(store, reader, by.alerts, evaluator.teller, evaluator.audit, wall, service.now),
        ]

        def figures() -> list[Metric]:
            own = [*_metrics(segments, taken), *_of_canary(canary), *_of_alerting(evaluator)]
            return own + sla_metrics.metrics(service.current)

        operations = [
            *lineage.operations.route_handlers(storage, by.slas, wall, service.now),
            *lineage.order_states.route_handlers(progress),
        ]
        api = _app(settings, storage, service, [*alerting_api, *operations], figures)
        undo.enter_context(webserver.serving(api, settings.plane_host, settings.plane_port, name="lineage"))
        undo.enter_context(ticking(ticks))
        undo.callback(canary.stop)
        yield


def _held(tick: Tick, by: Path) -> Tick:
    return Tick(tick.name, tick.seconds, lambda: None if by.exists() else tick.run())


def _app(
    settings: Settings,
    storage: Storage,
    service: Lineage,
    more: Sequence[HTTPRouteHandler],
    metrics: Callable[[], list[Metric]],
) -> Litestar:
    own = local_url(settings.plane_host, settings.plane_port)
    dash = pages.create(service, core_url=settings.core_base, plane_url=own, clock=service.now)

    def waiting_for() -> list[str]:
        return [] if storage.ping() else ["ClickHouse does not answer"]

    return Litestar(
        [
            _root,
            pages.serve_below("/ui", dash),
            *lineage.api.route_handlers(service),
            *lineage.audit.route_handlers(storage),
            *lineage.reconciliation.route_handlers(storage),
            *more,
            *health.handlers(waiting_for, metrics),
        ],
        openapi_config=OPENAPI,
        logging_config=None,
        compression_config=CompressionConfig(backend="gzip"),
        exception_handlers={HTTPException: problems.refused, Exception: _failed},
    )


def _metrics(segments: SegmentLog, taken: Intake) -> list[Metric]:
    now, totals = segments.counters(), taken.totals()
    found = now.accepted_requests + now.recovered_requests - now.waiting_requests
    counters = (
        ("requests_accepted", "OTLP requests acknowledged.", now.accepted_requests),
        ("requests_recovered", "Requests found on disk at the start.", now.recovered_requests),
        ("requests_stored", "Requests inserted.", now.stored_requests),
        ("spans_accepted", "Spans acknowledged.", now.accepted_spans),
        ("spans_stored", "Spans inserted, of those accepted since the start.", now.stored_spans),
        ("spans_duplicate", "Spans in requests that were recognised as sent before.", totals.duplicate_spans),
        ("accepted_bytes", "Bytes of requests acknowledged.", now.accepted_bytes),
        ("segments_stored", "Segments inserted.", now.stored_segments),
        ("insert_seconds", "Time spent on the segments inserted.", now.insert_seconds),
    )
    gauges = (
        ("requests_set_aside", "Requests ClickHouse cannot read, in quarantine.", now.quarantined_requests),
        ("quarantine_bytes", "Bytes in quarantine.", now.quarantined_bytes),
        ("requests_waiting", "Requests acknowledged and not inserted yet.", now.waiting_requests),
        ("backlog_segments", "Segments not inserted yet.", now.backlog_segments),
        ("backlog_bytes", "Bytes of spans not inserted yet.", now.backlog_bytes),
        ("backlog_oldest_seconds", "Age of the oldest segment that is not inserted.", now.oldest_seconds),
        ("disk_free_bytes", "Free on the disk that holds the spans.", now.free_bytes),
        ("requests_held_bytes", "Memory that requests under way hold.", totals.held_bytes),
        ("completeness_ratio", "Stored of what is no longer waiting; 1 is all.",
         now.stored_requests / found if found else 1.0),
    )  # fmt: skip
    return [
        *(Metric(f"tallytrace_{name}_total", "counter", meaning, value) for name, meaning, value in counters),
        *(Metric(f"tallytrace_{name}", "gauge", meaning, value) for name, meaning, value in gauges),
        *(
            Metric("tallytrace_requests_total", "counter", "OTLP requests by outcome.", count, (("outcome", outcome),))
            for outcome, count in sorted(totals.requests.items())
        ),
        *(
            Metric("tallytrace_spans_refused_total", "counter", "Spans that can never be stored.", count,
                   (("reason", reason),))
            for reason, count in sorted(totals.refused_spans.items())
        ),
    ]  # fmt: skip


def _of_canary(canary: Canary) -> list[Metric]:
    last = canary.last
    if last is None:
        return []
    figures = (
        ("ok", "1 when lineage said of the last canary what it must.", float(not last.fault)),
        ("visible_seconds", "From its acknowledgement until lineage told it.", last.visible_seconds),
        ("at_seconds", "When the last canary was sent, in seconds since the epoch.", last.at.timestamp()),
    )
    return [Metric(f"tallytrace_canary_{name}", "gauge", meaning, value) for name, meaning, value in figures]


def _of_alerting(evaluator: Evaluator) -> list[Metric]:
    found = evaluator.audit()
    figures = (
        ("sound", "1 when every alert has a next step, every message was tried and every rule was judged.",
         float(found.sound)),
        ("messages_lost", "Messages of the last day that receivers refused or that were given up.", found.lost),
    )  # fmt: skip
    return [Metric(f"tallytrace_alerting_{name}", "gauge", meaning, value) for name, meaning, value in figures]


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
