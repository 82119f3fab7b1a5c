"""The core process: the sync core's API, its workers and its relays, over one PostgreSQL."""

import datetime as dt
import logging
import threading
from contextlib import ExitStack
from typing import Final

import psycopg
from psycopg_pool import PoolTimeout

from sync_core import api, clock
from sync_core.deliveries import Deliveries
from sync_core.erp.port import Erp
from sync_core.exceptions.deadlines import Deadlines
from sync_core.files import Apart, FileReader
from sync_core.ledger import books_api, ledger
from sync_core.ledger.closing import PeriodEnds
from sync_core.ledger.summaries import Summaries
from sync_core.orders.desk import Desk
from sync_core.outbox import ErpRelay, SpanRelay
from sync_core.parties import customer_api
from sync_core.readback import ReadBack
from sync_core.reconciliation.reconcile import Reconciler
from sync_core.returns import return_api
from sync_core.settlements import settlement_api
from sync_core.settlements.matching import Matcher
from sync_core.stock.publication import Publisher, channels
from sync_core.stock.shelf import Shelves
from sync_core.store import Store
from sync_core.workers import Loop, looping
from tallytrace import erp, health, webserver, worker
from tallytrace.settings import Settings

log = logging.getLogger(__name__)

CONNECTIONS: Final = 12
"""For answers and for what is done now and then; threads that always work have their own."""
LINGER_SECONDS: Final = 0.05
"""Spans of so long go to the collector together."""
FILE_SECONDS: Final = 0.25
SHELF_SECONDS: Final = 0.25
DEADLINE_SECONDS: Final = 5.0
DELIVERY_SECONDS: Final = 60.0
SUMMARY_SECONDS: Final = 60.0
MATCH_SECONDS: Final = 2.0
RECONCILE_SECONDS: Final = 5.0
READ_BACK_SECONDS: Final = 2.0


def run(settings: Settings, until: threading.Event) -> None:
    """Serves until the event. Raises NotServedError, or msgspec.ValidationError for invalid posting rules."""
    with ExitStack() as undo:
        db = undo.enter_context(worker.opened(settings, connections=CONNECTIONS))
        if not worker.ready(db, until):
            return
        folder = settings.directory / "files"
        apart = Apart(settings.postgres_url, folder, settings.posting_rules)
        files = FileReader(db, folder, clock.wall, apart.read, apart.stop)
        rules = ledger.load_rules(override=settings.posting_rules)
        clients = {name: undo.enter_context(erp.connected(one)) for name, one in erp.named(settings, rules).items()}
        relays = [
            _relay(settings, undo.enter_context(db.apart(settings.erp_concurrency)), name, client)
            for name, client in clients.items()
        ]
        spans = SpanRelay(
            undo.enter_context(db.apart()),
            f"{settings.collector_base}/v1/traces",
            clock.wall,
            key=settings.collector_key,
        )
        undo.callback(spans.close)
        working = [] if settings.worker_processes else worker.processing(settings, db, undo)
        loops = [Loop("file-reader", files.run_once, idle_seconds=FILE_SECONDS)]
        loops.append(Loop("reconciler", Reconciler(db, rules, clock.wall).run_once, idle_seconds=RECONCILE_SECONDS))
        span_relay = Loop("span-relay", spans.run_once, idle_seconds=worker.IDLE_SECONDS, linger_seconds=LINGER_SECONDS)
        erp_relays = [
            Loop(f"erp-relay{relay.name and '-'}{relay.name}-{n}", relay.run_once, idle_seconds=worker.IDLE_SECONDS)
            for relay in relays
            for n in range(1, settings.erp_concurrency + 1)
        ]
        settled = dt.timedelta(seconds=settings.erp_read_back_seconds)
        for name, client in clients.items():
            read_back = ReadBack(db, client, clock.wall, settled_after=settled, name=name)
            loops.append(Loop(f"erp-read-back{name and '-'}{name}", read_back.run_once, idle_seconds=READ_BACK_SECONDS))
        publisher = Publisher(db, clock.wall, base_seconds=settings.retry_base_seconds)
        undo.callback(publisher.close)
        publishing = Loop("publisher", publisher.run_once, idle_seconds=worker.IDLE_SECONDS)
        shelves = Shelves(db, clock.wall)
        loops.append(Loop("shelves", shelves.refresh, idle_seconds=SHELF_SECONDS))
        loops.append(Loop("deadlines", Deadlines(db, clock.wall).run_once, idle_seconds=DEADLINE_SECONDS))
        loops.append(Loop("deliveries", Deliveries(db, clock.wall).run_once, idle_seconds=DELIVERY_SECONDS))
        loops.append(Loop("period-ends", PeriodEnds(db, clock.wall).run_once, idle_seconds=DELIVERY_SECONDS))
        loops.append(Loop("matcher", Matcher(db, rules, clock.wall).run_once, idle_seconds=MATCH_SECONDS))
        loops.append(Loop("summaries", Summaries(db, rules, clock.wall).run_once, idle_seconds=SUMMARY_SECONDS))
        undo.enter_context(looping([*working, span_relay, *erp_relays, publishing, *loops]))
        desk = Desk(
            undo.enter_context(db.apart(2)), clock.wall, lambda: _wake(working), max_queued=settings.inbox_max_queued
        )
        wakes = {
            "spans": [span_relay.wake, desk.look_again],  # whatever is decided tells spans
            "erp": [loop.wake for loop in erp_relays],
            "channels": [publishing.wake],
        }
        undo.enter_context(worker.waking(settings, "outbox", wakes))
        undo.callback(files.stop)
        app = api.create_app(
            api.Core(db, files, clock.wall, relays, shelves, desk, settings.inbox_max_queued, rules),
            *customer_api.HANDLERS,
            *return_api.HANDLERS,
            *settlement_api.HANDLERS,
            *books_api.HANDLERS,
            *health.handlers(lambda: _waiting_for(db), lambda: _metrics(db)),
        )
        undo.enter_context(webserver.serving(app, settings.core_host, settings.core_port, name="core"))
        until.wait()


def _wake(loops: list[Loop]) -> None:
    for loop in loops:
        loop.wake()


def _relay(settings: Settings, db: Store, name: str, client: Erp) -> ErpRelay:
    return ErpRelay(
        db, client, clock.wall, batch=settings.erp_batch, attempts=settings.retry_max_attempts,
        base_seconds=settings.retry_base_seconds, requests_per_second=settings.erp_requests_per_second,
        concurrency=settings.erp_concurrency, name=name,
    )  # fmt: skip


def _waiting_for(db: Store) -> list[str]:
    try:
        with db.transaction() as session:
            session.connection.execute("select 1")
    except (PoolTimeout, psycopg.Error):
        return ["PostgreSQL does not answer"]
    return []


def _metrics(db: Store) -> list[health.Metric]:
    with db.transaction() as session:
        queued, parked, dead, waiting, oldest, _, refused, spans, opened, days = session.one("lag", now=clock.wall())
        told = channels(session, clock.wall())
        by_lane = api.lanes(session, clock.wall())
    figures = (
        ("tallytrace_inbox_queued_events", "events accepted and not yet processed", queued),
        ("tallytrace_inbox_parked_events", "events that wait for another", parked),
        ("tallytrace_inbox_dead_events", "events given up", dead),
        ("tallytrace_outbox_waiting_journals", "journals the ERP has not taken", waiting),
        ("tallytrace_outbox_oldest_seconds", "age of the oldest journal the ERP has not taken", oldest or 0),
        ("tallytrace_outbox_refused_journals", "journals refused or given up", refused),
        ("tallytrace_publications_waiting_figures", "figures that channels do not have", sum(c.waiting for c in told)),
        ("tallytrace_publications_oldest_seconds", "age of the oldest figure that a channel does not have",
         max((c.oldest_waiting_seconds for c in told), default=0)),
        ("tallytrace_channels_down", "channels that take nothing", sum(c.state == "down" for c in told)),
        ("tallytrace_span_batches_waiting", "batches of spans the collector has not acknowledged", spans),
        ("tallytrace_exceptions_open", "exceptions that nobody resolved", opened),
        ("tallytrace_days_to_reconcile", "ended business days that changed since they were reconciled", days),
    )  # fmt: skip
    return [
        *(health.Metric(name, "gauge", meaning, float(value)) for name, meaning, value in figures),
        *(
            health.Metric(f"tallytrace_outbox_lane_{name}", "gauge", meaning, float(value), (("lane", one.lane),))
            for one in by_lane
            for name, meaning, value in (
                ("waiting_journals", "journals of a lane the ERP has not taken", one.waiting),
                ("oldest_seconds", "age of the oldest of them", one.oldest_seconds),
            )
        ),
    ]
