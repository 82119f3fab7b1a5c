"""A sync core over a database of its own, worked by hand: no threads, and a clock that the test sets."""

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from psycopg import sql

from collector.compression import zstd_decompressor
from sync_core import inbox
from sync_core.flows import Processor, Retry
from sync_core.ledger import export
from sync_core.ledger.ledger import load_rules
from sync_core.messages import Message
from sync_core.reconciliation import audit
from sync_core.store import Row, Store
from tests.factories import NOON


class Core:
    """The inbox, one worker and the books of one database."""

    def __init__(self, db: Store) -> None:
        self.db = db
        self.now = NOON
        self.rules = load_rules()

    def accept(self, *messages: Message) -> list[inbox.Receipt]:
        with self.db.transaction() as session:
            return inbox.accept(session, messages, self.now)

    def processor(self, *, batch: int = 400, retry: Retry | None = None) -> Processor:
        return Processor(self.db, self.rules, lambda: self.now, batch=batch, retry=retry)

    def work(self, *, batch: int = 400) -> int:
        """Process everything that may be processed now; returns how many events."""
        processor, total = self.processor(batch=batch), 0
        while done := processor.run_once():
            total += done
        return total

    def take(self, *messages: Message) -> None:
        self.accept(*messages)
        self.work()

    def rows(self, query: LiteralString, *values: Any) -> list[Row]:
        with self.db.transaction() as session:
            return session.connection.execute(query, values).fetchall()

    def change(self, *statements: LiteralString) -> None:
        """Change the database behind the core's back."""
        with self.db.transaction() as session:
            for statement in statements:
                session.connection.execute(statement)

    def one(self, query: LiteralString, *values: Any) -> Any:
        ((value,),) = self.rows(query, *values)
        return value

    def states(self) -> dict[str, int]:
        """How many events of the inbox are in each state."""
        return dict(self.rows("select state, count(*) from core.inbox group by state"))

    def exceptions(self) -> list[tuple[str, str, str]]:
        """ID, owner and state of every exception."""
        return [(i, o, s) for i, o, s in self.rows("select exception_id, owner, state from core.exceptions order by 1")]

    def balance(self, account: str) -> int:
        """Debits less credits of the accounts whose name begins so."""
        query: LiteralString = (
            "select coalesce(sum(amount_minor), 0) from core.journal_lines where starts_with(account, %s)"
        )
        return int(self.one(query, account))

    def faults(self) -> list[str]:
        """What ``verify`` finds wrong."""
        with self.db.transaction() as session:
            return [fault for check in audit.checks(session) for fault in check.faults]

    def journal(self) -> str:
        """The canonical export."""
        with self.db.transaction() as session:
            return "".join(export.canonical(session.stream("export_journal")))

    def span_requests(self) -> list[bytes]:
        """The export requests in the outbox."""
        rows = self.rows("select body from core.span_outbox order by batch")
        return [zstd_decompressor().decompress(bytes(body)) for (body,) in rows]

    def spans(self) -> list[Span]:
        """Every span in the outbox; raises when IDs differ from those committed beside them, or come twice."""
        packed = b"".join(bytes(one) for (one,) in self.rows("select span_ids from core.span_batches order by batch"))
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.span_requests()]
        spans = [
            span
            for one in requests
            for all_of in one.resource_spans
            for scope in all_of.scope_spans
            for span in scope.spans
        ]
        assert b"".join(span.span_id for span in spans) == packed
        twice = [span_id.hex() for span_id, count in Counter(span.span_id for span in spans).items() if count > 1]
        assert twice == []
        return spans


def later(core: Core, **by: float) -> dt.datetime:
    """Move the clock of a core on."""
    core.now += dt.timedelta(**by)
    return core.now


@contextmanager
def opened(url: str) -> Iterator[Core]:
    """A core on an empty database."""
    db = Store(url)
    db.open()
    try:
        db.migrate()
        yield Core(db)
    finally:
        db.close()


@contextmanager
def database(server: str) -> Iterator[str]:
    """URL of an empty database of a server, as long as the block."""
    name = f"t_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        yield server.replace("@/postgres?", f"@/{name}?")
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def text(span: Span, name: str) -> str:
    """A text attribute of a span, without the ``retail.`` prefix; empty when it has none."""
    return next((one.value.string_value for one in span.attributes if one.key == f"retail.{name}"), "")
