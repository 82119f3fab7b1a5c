"""The only file that knows PostgreSQL: connections, migrations, and what a unit of work reads and writes."""

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain, groupby
from operator import attrgetter, itemgetter
from typing import Any, Final, Literal, TypeVar

import msgspec
import psycopg
from msgspec import Struct
from psycopg import Connection, Cursor
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import ConnectionPool

from collector.compression import zstd_compress
from collector.semconv import correlation_id
from sync_core import named_sql
from sync_core.arrays import ArrayDumper
from sync_core.ledger.ledger import Journal, JournalLine
from sync_core.ledger.periods import Periods
from sync_core.master_messages import CustomerUpdated
from sync_core.messages import Event, Message, OrderCaptured, SettlementReceived, decode_event
from sync_core.model import (
    BookedMatches,
    Captured,
    Catalogue,
    Customer,
    ExceptionItem,
    GiftCard,
    KindTotal,
    Location,
    Order,
    OrderLine,
    Posted,
    Rates,
    Signal,
    Stock,
    Terms,
    Transfer,
    TransferLine,
)
from sync_core.returns.messages import ReturnRequested
from sync_core.returns.model import Policy, Refund, Return, ReturnLine
from sync_core.returns.policy import Promises
from sync_core.stock.availability import SILENT_AFTER, Held, Rule, Rules, Standing
from sync_core.stock.buckets import COUNTERS, EFFECTS, FLAT_EFFECTS
from sync_core.stock.products import Naming, located, named, taxed_by_code
from sync_core.telemetry import EncodedSpans
from sync_core.unit import StockKey, Unit, Verdict

set_json_dumps(msgspec.json.encode)
set_json_loads(msgspec.json.decode)

Row = tuple[Any, ...]
T = TypeVar("T")
MIGRATION_LOCK: Final = 7400
NEVER: Final = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)
_FILES: Final = ("queries.sql", "matching.sql", "reconciliation.sql", "books.sql")
_SQL: Final = {name: text for file in _FILES for name, text in named_sql.load(file).items()}
_KEY: Final = ("sku", "location")
_COST: Final = ("unit_cost_minor", "currency")


class Claimed(Struct, frozen=True):
    """An event taken from the inbox, with the distance between its own clock and the wall's."""

    seq: int
    message: Message
    clock_offset: dt.timedelta
    attempts: int
    partition: int
    accepted_at: dt.datetime


class Session:
    """One connection inside a transaction."""

    def __init__(self, connection: Connection[Row]) -> None:
        self.connection = connection

    def run(self, name: str, /, **values: Any) -> Cursor[Row]:
        """Execute the statement ``name`` of sql/queries.sql."""
        return self.connection.execute(_SQL[name], values)

    def run_many(self, name: str, /, values: Sequence[Mapping[str, Any]]) -> None:
        """The same for each of several sets of values, in their order, without waiting for each."""
        with self.connection.cursor() as cursor:
            cursor.executemany(_SQL[name], values)

    def run_on(self, name: str, columns: Mapping[str, str], /, **values: Any) -> Cursor[Row]:
        """The same with columns of our own naming in place of the statement's marks (``/*mark*/``)."""
        statement = _SQL[name]
        for mark, column in columns.items():
            statement = statement.replace(f"/*{mark}*/", column)
        return self.connection.execute(statement, values)

    def pairs(self, name: str, /, **values: Any) -> list[Row]:
        """The pairs of the statement ``name`` as cells, and those that differ one by one."""
        return self.run_on("cells", {"pairs": _SQL[name]}, **values).fetchall()

    def rows(self, name: str, /, **values: Any) -> list[Row]:
        return self.run(name, **values).fetchall()

    def one(self, name: str, /, **values: Any) -> Row:
        row = self.run(name, **values).fetchone()
        assert row is not None, name
        return row

    def stream(self, name: str, /, **values: Any) -> Iterator[Row]:
        """Rows of a long answer, fetched from the server in pieces."""
        with self.connection.cursor(name=f"stream_{name}") as cursor:
            cursor.itersize = 5_000
            cursor.execute(_SQL[name], values)
            yield from cursor

    def copy(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Append rows by COPY, in text form."""
        every = iter(rows)
        for first in every:
            with self.connection.cursor() as cursor, cursor.copy(_copy_statement(table, tuple(columns))) as copy:
                copy.write_row(first)
                for row in every:
                    copy.write_row(row)


@cache
def _copy_statement(table: str, columns: tuple[str, ...]) -> bytes:
    statement = psycopg.sql.SQL("copy core.{} ({}) from stdin").format(
        psycopg.sql.Identifier(table), psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, columns))
    )
    return statement.as_bytes(None)


class Store:
    """A pool of connections to one PostgreSQL database."""

    def __init__(self, url: str, *, connections: int = 8) -> None:
        self.url = url
        self._pool = ConnectionPool(
            url, min_size=1, max_size=connections, open=False, timeout=30, configure=_configure,
            num_workers=min(3, connections),
        )  # fmt: skip

    def open(self) -> None:
        """Connect. Raises psycopg_pool.PoolTimeout when the server does not answer within 30 s."""
        self._pool.open(wait=True)

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def apart(self, connections: int = 1) -> Iterator["Store"]:
        """The same database for threads that repeat their statements: on connections of their own these stay prepared.

        Raises psycopg_pool.PoolTimeout when the server does not answer within 30 s.
        """
        own = Store(self.url, connections=connections)
        try:
            own.open()
            yield own
        finally:
            own.close()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        with self._pool.connection() as connection:
            yield Session(connection)

    def migrate(self) -> list[str]:
        """Apply the numbered migrations that are missing, each in its own transaction; returns their names."""
        with self._pool.connection() as connection:
            connection.execute("select pg_advisory_lock(%s)", (MIGRATION_LOCK,))
            try:
                connection.execute("create schema if not exists core")
                connection.execute(
                    "create table if not exists core.migrations (number integer primary key, name text not null,"
                    " applied_at timestamptz not null default now())"
                )
                connection.commit()
                applied = {row[0] for row in connection.execute("select number from core.migrations")}
                done = []
                for number, name, text in named_sql.migrations():
                    if number not in applied:
                        connection.execute(text)
                        connection.execute("insert into core.migrations (number, name) values (%s, %s)", (number, name))
                        connection.commit()
                        done.append(name)
                return done
            finally:
                connection.rollback()
                connection.execute("select pg_advisory_unlock(%s)", (MIGRATION_LOCK,))


_HEAR: Final = {"inbox": _SQL["listen_inbox"], "outbox": _SQL["listen_outbox"]}


class Listener:
    """Hears that there is new work in the ``inbox`` or the ``outbox``, on a connection of its own."""

    def __init__(self, url: str, place: Literal["inbox", "outbox"]) -> None:
        self._url = url
        self._place = place
        self._connection: Connection[Row] | None = None

    def heard(self, seconds: float) -> set[str] | None:
        """What was said within so long; None when it was not listened before. Raises what a connection that breaks
        raises; the next call mends it.
        """
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._url, autocommit=True)
            self._connection.execute(_HEAR[self._place])
            return None
        return {one.payload for one in self._connection.notifies(timeout=seconds, stop_after=1)}

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _configure(connection: Connection[Any]) -> None:
    connection.adapters.register_dumper(list, ArrayDumper)
    connection.execute(_SQL["end_with_client"])
    connection.commit()


def claim(session: Session, partitions: Sequence[int], limit: int, now: dt.datetime) -> list[Claimed]:
    """The next events of partitions, so many of each, decoded."""
    return [_claimed(row) for row in session.rows("claim", partitions=list(partitions), limit=limit, now=now)]


def load_orders(session: Session, unit: Unit, ids: Iterable[bytes]) -> None:
    """Bring orders and their lines into a unit of work."""
    wanted = [one for one in ids if one not in unit.orders]
    if not wanted:
        return
    for row in session.rows("load_orders", ids=wanted):
        *plain, totals = row[:15]
        values = (*plain, msgspec.convert(totals, list[KindTotal]), *row[15:])
        unit.orders[row[0]] = Order(*values)
        unit.lines[row[0]] = []
    for row in session.rows("load_lines", ids=wanted):
        line = OrderLine(*row)
        if unit.orders[line.correlation_id].state == "shipped":
            line.reserved, line.shipped = 0, max(0, line.quantity - line.cancelled)
        unit.lines[row[0]].append(line)


def load_open_lines(session: Session, unit: Unit, pairs: Sequence[tuple[str, str]]) -> None:
    """Bring the orders into a unit of work in which customers bought codes that they now give back."""
    if not pairs:
        return
    found = session.rows("find_open_lines", customer_ref=[one for one, _ in pairs], sku=[two for _, two in pairs])
    load_orders(session, unit, [row[0] for row in found])
    asked = set(pairs)
    for identity, lines in unit.lines.items():
        customer_ref = unit.orders[identity].customer_ref
        for line in lines:
            if line.kind == "goods" and (customer_ref, line.sku) in asked:
                unit.open_lines.setdefault((customer_ref, line.sku), []).append(line)


def load_returns(session: Session, unit: Unit, ids: Sequence[bytes]) -> None:
    """Bring returns and their refunds into a unit of work."""
    rows = session.rows("load_returns", ids=ids) if ids else ()
    unit.returns.update({row[0]: return_of(row) for row in rows})
    for row in session.rows("load_refunds", ids=list(unit.returns)) if rows else ():
        unit.refunds[(row[0], row[1])] = Refund(*row)


def return_of(row: Row) -> Return:
    """A return from its columns."""
    *plain, lines, documents, partition, changes, reason, taxes, pending = row
    values = (*plain, msgspec.convert(lines, list[ReturnLine]), documents, partition, changes, reason, taxes, pending)
    return Return(*values)


def load_promises(session: Session, unit: Unit, requests: Sequence[ReturnRequested]) -> None:
    """What requests for returns are judged by beside their orders."""
    policies = [Policy(*row) for row in session.rows("return_policies")]
    skus = sorted({line.sku for one in requests for line in one.lines})
    parents: dict[str, str] = (
        dict(session.rows("parents_of", skus=skus)) if any(one.product for one in policies) else {}
    )
    unit.promises = Promises(policies, parents)
    asked = sorted({(one.origin, line.reason) for one in requests for line in one.lines if line.reason})
    if asked:
        columns = {"origin": [origin for origin, _ in asked], "code": [code for _, code in asked]}
        unit.return_reasons = {row[:2]: row[2] for row in session.rows("return_reasons", **columns)}
    longest = max((one.within_days for one in policies if one.most_returns), default=0)
    if longest:
        orders = [correlation_id(one.order_origin, one.order_id) for one in requests]
        for customer, opened_at in session.rows("earlier_returns", ids=orders, days=longest):
            unit.earlier_returns.setdefault(customer, []).append(opened_at)


def load_payments(session: Session, unit: Unit, ids: Sequence[bytes]) -> None:
    for row in session.rows("load_payments", ids=ids) if ids else ():
        unit.payments[row[0]][row[1]] = Captured(*row)


def load_gift_cards(session: Session, unit: Unit, ids: Iterable[bytes]) -> None:
    wanted = sorted(set(ids))
    for row in session.rows("load_gift_cards", ids=wanted) if wanted else ():
        unit.gift_cards[row[0]] = GiftCard(*row)


def load_books(session: Session, unit: Unit, days: Collection[dt.date]) -> None:
    """Which periods take entries, and where books are in another currency than trade, what currencies are worth."""
    session.run("hold_periods")
    unit.periods = Periods({(entity, period): state for entity, period, state in session.rows("periods_not_open")})
    for row in session.rows("load_rates", since=min(days), until=max(days)) if unit.rules.foreign else ():
        unit.rates.set(*row)


def load_order_steps(session: Session, unit: Unit, ids: Sequence[bytes]) -> None:
    for identity, step, occurred_at in session.rows("load_order_steps", ids=ids) if ids else ():
        unit.order_steps[(identity, step)] = occurred_at


def load_terms(session: Session, unit: Unit, channels: Iterable[str]) -> None:
    wanted = sorted(set(channels))
    for row in session.rows("load_channel_terms", channels=wanted) if wanted else ():
        unit.terms[row[0]] = Terms(*row)


def load_baskets(
    session: Session, unit: Unit, baskets: Sequence[bytes], since: dt.datetime, until: dt.datetime
) -> None:
    """Bring in which orders have the same basket as new ones."""
    rows = session.rows("load_baskets", baskets=sorted(set(baskets)), since=since, until=until) if baskets else ()
    for basket, identity, order_id, captured_at in rows:
        unit.baskets.setdefault(basket, []).append((identity, order_id, captured_at))


def load_order_documents(session: Session, unit: Unit, ids: Sequence[bytes]) -> None:
    for identity, kind, document_id, occurred_at in session.rows("load_order_documents", ids=ids) if ids else ():
        unit.order_documents[(identity, kind, document_id)] = occurred_at


def load_open_exceptions(session: Session, unit: Unit, ids: Sequence[bytes]) -> None:
    for identity, kind, exception_id in session.rows("load_open_exceptions", ids=ids) if ids else ():
        unit.open_exceptions.setdefault((identity, kind), []).append(exception_id)


def load_journal_owners(session: Session, unit: Unit, numbers: Sequence[str]) -> None:
    """Whose the journals are that are known under these numbers."""
    if numbers:
        unit.journal_owners.update(dict(session.rows("journal_owners", ids=numbers)))


def load_customers(session: Session, unit: Unit, updates: Sequence[CustomerUpdated]) -> None:
    """The customers of updates, those they are merged into, and whose their accounts are, each with all accounts."""
    if not updates:
        return
    names = [(one.origin, name) for one in updates for name in (one.customer_id, one.merged_into) if name]
    numbers = [number for one in updates for number in one.numbers]
    rows = session.rows(
        "load_customers", origins=[one for one, _ in names], customer_ids=[two for _, two in names],
        systems=[one for one, _ in numbers], account_ids=[two for _, two in numbers],
    )  # fmt: skip
    for *about, accounts in rows:
        values = [*about, [(system, account_id) for system, account_id in accounts]]
        one = Customer(*values)
        unit.customers[(one.origin, one.customer_id)] = one


def load_waited_long(session: Session, unit: Unit, messages: Sequence[Message]) -> None:
    """The open exceptions about events that waited too long for another."""
    if not messages:
        return
    values = {"source": [one.source for one in messages], "event_id": [one.event_id for one in messages]}
    for source, event_id, exception_id, identity, origin in session.rows("load_waited_long", **values):
        unit.waited_long[(source, event_id)] = (exception_id, identity, origin)


def load_posted(session: Session, unit: Unit, journal_ids: Sequence[str]) -> None:
    """Journals with the movements of the documents behind them."""
    for journal_id, occurred_at, *about in session.rows("load_posted", ids=list(journal_ids)) if journal_ids else ():
        rows = session.rows("load_journal_lines", id=journal_id)
        lines = [JournalLine(account, minor, made, functional_minor=worth) for account, minor, made, worth in rows]
        moved = session.rows("load_document_movements", key=journal_id, location=about[4], occurred_at=occurred_at)
        values = [*about, lines, moved]
        unit.posted[journal_id] = Posted(*values)


def read_stock(session: Session, unit: Unit, keys: Iterable[StockKey]) -> bool:
    """Bring stock rows into a unit of work without holding them; false when some do not exist yet."""
    wanted = sorted(set(keys))
    found = session.rows("read_stock", **_keys(wanted)) if wanted else []
    unit.stock.update({(row[0], row[1]): Stock(*row) for row in found})
    unit.read_stock = {(row[0], row[1]): Stock(*row) for row in found}
    return len(found) == len(wanted)


def _keys(wanted: Sequence[StockKey]) -> dict[str, list[str]]:
    return {"sku": [sku for sku, _ in wanted], "location": [location for _, location in wanted]}


def load_settlements_before(session: Session, unit: Unit, settlements: Sequence[SettlementReceived]) -> None:
    """What was booked of the versions that settlements supersede; until this unit of work ends nobody matches."""
    if not (later := [one for one in settlements if one.version > 1]):
        return
    session.run("lock_matching")
    load_posted(session, unit, [one.journal_before for one in later])
    for one in later:
        values = {"origin": one.origin, "settlement_id": one.settlement_id, "version": one.version}
        booked = session.one("booked_of_settlement", **values)
        unit.booked_settlements[(one.origin, one.settlement_id)] = BookedMatches(*booked)


def load_channels(session: Session, unit: Unit, channels: Sequence[str]) -> None:
    """Which of these channels are registered."""
    if channels:
        unit.channels |= {row[0] for row in session.rows("registered_channels", channels=channels)}


def load_stock(session: Session, unit: Unit, keys: Iterable[StockKey]) -> None:
    """Lock the stock rows of a unit of work in order of their key, making those that are missing."""
    wanted = sorted(set(keys))
    columns = _keys(wanted)
    if not wanted:
        return
    found = session.rows("load_stock", **columns)
    if len(found) < len(wanted):
        session.run("create_stock", **columns)
        found = session.rows("load_stock", **columns)
    unit.stock.update({(row[0], row[1]): Stock(*row) for row in found})


def load_catalogue(session: Session, events: Sequence[Event]) -> Catalogue:
    """What is known of the numbers and channels in events; next to nothing to do where no product is registered."""
    origins = sorted({event.origin for event in events if isinstance(event, Naming)})
    bound = frozenset(row[0] for row in session.rows("bound_origins", origins=origins) if origins)
    numbers = [one for one in named(events) if one[0] in bound] if bound else []
    columns = {"origin": [origin for origin, _ in numbers], "number": [number for _, number in numbers]}
    skus = {key: sku for origin, number, sku in (session.rows("known_numbers", **columns) if numbers else ())
            for key in ((origin, number), (origin, sku))}  # fmt: skip
    asked = [event.channel for event in events if isinstance(event, OrderCaptured) and not event.location]
    defaults: dict[str, str] = dict(session.rows("first_locations", channels=asked)) if asked else {}
    return Catalogue(bound, skus, defaults, _load_places(session, events), _load_rates(session, events, skus))


def _load_places(session: Session, events: Sequence[Event]) -> dict[tuple[str, str], str]:
    asked = located(events)
    columns = {"systems": [system for system, _ in asked], "names": [name for _, name in asked]}
    return {row[:2]: row[2] for row in (session.rows("known_places", **columns) if asked else ())}


def _load_rates(
    session: Session, events: Sequence[Event], skus: Mapping[tuple[str, str], str]
) -> dict[tuple[str, str], Rates]:
    asked = taxed_by_code(events, skus)
    columns = {"origins": [origin for origin, _ in asked], "skus": [sku for _, sku in asked]}
    rates: dict[tuple[str, str], Rates] = {}
    for origin, sku, tax_code, since, rate_ppm in session.rows("tax_rates", **columns) if asked else ():
        held = rates.setdefault((origin, sku), Rates(tax_code, []))
        if since is not None:
            held.since.append((since, rate_ppm))
    return rates


def load_signals(session: Session, unit: Unit, *, new_point: bool) -> None:
    """Reorder points of the stock of a unit of work and what has been asked for; nothing where there are none."""
    if not unit.stock or not (new_point or session.one("any_reorder")[0]):
        return
    columns = {"sku": [sku for sku, _ in unit.stock], "location": [location for _, location in unit.stock]}
    unit.stock_rules = Rules(Rule(*row) for row in session.rows("stock_rules_of", **columns))
    unit.signals = {(row[0], row[1]): Signal(*row) for row in session.rows("load_signals", **columns)}


def load_locations(session: Session, unit: Unit, locations: Iterable[str]) -> None:
    wanted = sorted(set(locations))
    for row in session.rows("load_locations", locations=wanted) if wanted else ():
        location, kind, stock_source, cost_source, near = row
        unit.locations[location] = Location(location, kind, stock_source, cost_source, tuple(near))
    if unit.locations.keys() < set(wanted):
        unit.only_registered = session.one("any_location")[0]


def load_transfers(session: Session, unit: Unit, ids: Sequence[bytes]) -> None:
    for row in session.rows("load_transfers", ids=ids) if ids else ():
        values = (*row[:-1], msgspec.convert(row[-1], dict[str, TransferLine]))
        unit.transfers[row[0]] = Transfer(*values)


def load_standing(session: Session, now: dt.datetime) -> Standing:
    """The rules of availability, and what they are about, as they are now."""
    return Standing(
        Rules(Rule(*row) for row in session.rows("stock_rules")),
        dict(session.rows("channels")),
        dict(session.rows("near_locations")),
        frozenset(row[0] for row in session.rows("silent_locations", since=now - SILENT_AFTER)),
    )


def load_held(session: Session, skus: Collection[str]) -> dict[str, dict[str, Held]]:
    """Stock of SKUs by location, each SKU among them."""
    found: dict[str, dict[str, Held]] = {sku: {} for sku in skus}
    for row in session.rows("stock_of", skus=list(skus)):
        held = Held(*row)
        found[held.sku][held.location] = held
    return found


def load_moved_since(session: Session, unit: Unit, location: str, since: dt.datetime, skus: Sequence[str]) -> None:
    """By how much committed movements after ``since`` changed what is good."""
    good = {kind: factor for kind, effects in EFFECTS.items() for counter, factor in effects if counter == "good"}
    rows = session.rows("moved_since", location=location, since=since, sku=list(skus), kind=list(good),
                        factor=list(good.values()))  # fmt: skip
    found = {sku: int(units) for sku, units in rows}
    unit.moved_since.update({(sku, location, since): found.get(sku, 0) for sku in skus})


def load_told_counters(session: Session, unit: Unit, places: Sequence[StockKey]) -> None:
    """What committed movements say of counters, and which of them are not as they were written."""
    skus = sorted({sku for sku, _ in places})
    told = {(row[0], row[1]): row[2] for row in session.rows("told_counters", skus=skus, **FLAT_EFFECTS)}
    unit.told_counters.update({place: told.get(place, {}) for place in places})
    unit.damaged = {
        location: f"movement {key} is damaged" for key, _, location, *_ in session.rows("damaged_movements")
    }


def save(session: Session, unit: Unit, now: dt.datetime) -> None:
    """Write what a unit of work adds or changes. The caller adds its spans, then its stock, then its verdicts."""
    _save_orders(session, unit)
    _save_movements(session, unit)
    _save_returns(session, unit)
    _save_journals(session, unit, now)
    _save_exceptions(session, unit)


def save_stock(session: Session, unit: Unit) -> bool:
    """Write the counters, those of rows that are not held under a guard; false when others took what was promised."""
    changed = list(unit.changed_stock.values())
    if unit.read_stock is None:
        _columns(
            session, "save_stock", changed,
            **{name: attrgetter(name) for name in (*_KEY, *COUNTERS, "opening", *_COST, "oversold",
                                                   "oversold_exception")},
        )  # fmt: skip
        return True
    if not unit.commutes:
        return False
    if not changed:
        return True
    before = [unit.read_stock[one.sku, one.location] for one in changed]
    values: dict[str, list[Any]] = {name: [getattr(one, name) for one in before] for name in (*_KEY, *_COST)}
    for name in COUNTERS:
        values[name] = [getattr(new, name) - getattr(old, name) for new, old in zip(changed, before, strict=True)]
    return session.run("change_stock", **values).rowcount == len(changed)


def settle(session: Session, unit: Unit, seqs: dict[int, Verdict]) -> None:
    """Write what became of the events of a unit of work, and queue those that waited for what it brought."""
    _settle(session, _still_waiting(session, unit, seqs))
    if unit.days:
        session.run("touch_days", days=sorted(unit.days))
    if unit.arrived:
        session.run("release_waiting", ids=sorted(unit.arrived))
    _save_deadlines(session, unit)
    for statement, some in groupby(unit.settings, itemgetter(0)):
        session.run_many(statement, [values for _, values in some])


def _save_deadlines(session: Session, unit: Unit) -> None:
    key = {name: itemgetter(place) for place, name in enumerate(("correlation_id", "deadline", "reference"))}
    _columns(session, "drop_order_deadlines", sorted(unit.deadlines_met), **key)
    due = {"due_at": lambda one: unit.deadlines[one]}
    _columns(session, "save_order_deadlines", sorted(unit.deadlines), **key, **due)


def save_spans(session: Session, spans: EncodedSpans, now: dt.datetime) -> None:
    """Keep encoded spans to be sent, and their IDs for ever."""
    if spans.span_ids:
        batch = session.one("add_span_batch", span_ids=spans.span_ids, now=now)[0]
        body = zstd_compress(spans.request)
        session.run("add_span_outbox", batch=batch, body=body, size_bytes=len(spans.request), now=now)


def _claimed(row: Row) -> Claimed:
    seq, source, event_id, type_name, payload_hash, provenance, occurred_at, business_date, offset, body, *rest = row
    message = Message(
        source=source,
        event_id=event_id,
        type=type_name,
        occurred_at=occurred_at,
        body=body,
        event=decode_event(type_name, body),
        partition_key="",
        business_date=business_date,
        payload_hash=payload_hash,
        provenance=provenance,
    )
    return Claimed(seq, message, offset, *rest)


def _save_orders(session: Session, unit: Unit) -> None:
    session.copy(
        "orders",
        (
            "correlation_id", "origin", "order_id", "channel", "location", "currency", "customer_ref", "captured_at",
            "business_date", "state", "amount_minor", "tax_minor", "open_tax_minor", "provenance", "totals",
            "paid_minor", "provider", "contract", "edited", "partition", "basket", "tax_point", "revenue_on",
            "undelivered", "taxes",
        ),
        (
            (
                o.correlation_id, o.origin, o.order_id, o.channel, o.location, o.currency, o.customer_ref,
                o.captured_at, o.business_date, o.state, o.amount_minor, o.tax_minor, o.open_tax_minor, o.provenance,
                _json(o.totals), o.paid_minor, o.provider, _json(o.contract), _json(o.edited), o.partition,
                o.basket, o.tax_point, o.revenue_on, _json(o.undelivered), _json(o.taxes),
            )
            for o in unit.new_orders
        ),
    )  # fmt: skip
    session.copy(
        "order_lines",
        (
            "correlation_id", "line_no", "sku", "kind", "quantity", "amount_minor", "unit_price_micros", "position",
            "reserved", "cancelled", "returned", "shipped", "edited_at", "tax_code", "tax_minor",
        ),
        (
            (
                line.correlation_id, line.line_no, line.sku, line.kind, line.quantity, line.amount_minor,
                line.unit_price_micros, line.position, line.reserved, line.cancelled, line.returned, line.shipped,
                line.edited_at, line.tax_code, line.tax_minor,
            )
            for line in unit.new_lines
        ),
    )  # fmt: skip
    new = {order.correlation_id for order in unit.new_orders}
    changed = [order for identity, order in unit.changed_orders.items() if identity not in new]
    _columns(
        session, "save_orders", changed,
        id=lambda o: o.correlation_id, state=lambda o: o.state, open_tax_minor=lambda o: o.open_tax_minor,
        amount_minor=lambda o: o.amount_minor, tax_minor=lambda o: o.tax_minor, paid_minor=lambda o: o.paid_minor,
        provider=lambda o: o.provider, contract=lambda o: _json(o.contract), edited=lambda o: _json(o.edited),
        undelivered=lambda o: _json(o.undelivered), taxes=lambda o: None if o.taxes is None else _json(o.taxes),
    )  # fmt: skip
    added = {(line.correlation_id, line.line_no) for line in unit.new_lines}
    _columns(
        session, "save_returned", [one for one in unit.returned.items() if one[1] and one[0] not in added],
        id=lambda r: r[0][0], line_no=lambda r: r[0][1], units=lambda r: r[1],
    )  # fmt: skip
    lines = [line for place, line in unit.changed_lines.items() if place not in added]
    _columns(
        session, "save_lines", lines,
        id=lambda one: one.correlation_id,
        **{name: attrgetter(name) for name in ("line_no", "quantity", "amount_minor", "unit_price_micros", "reserved",
                                               "cancelled", "shipped", "edited_at", "tax_minor")},
    )  # fmt: skip
    _columns(
        session, "save_payments", list(unit.changed_payments.values()), id=lambda p: p.correlation_id,
        **{name: attrgetter(name) for name in ("payment_id", "provider", "amount_minor", "settled", "kind", "card",
                                               "functional_minor")},
    )  # fmt: skip
    _columns(
        session, "give_back", [one for one in unit.given_back.items() if one[1]],
        id=lambda g: g[0][0], payment_id=lambda g: g[0][1], amount_minor=lambda g: g[1],
    )  # fmt: skip
    _columns(
        session, "save_gift_cards", list(unit.changed_gift_cards.values()), id=lambda c: c.identity,
        **{name: attrgetter(name) for name in ("origin", "card_id", "currency", "balance_minor")},
    )  # fmt: skip
    documents = ("correlation_id", "kind", "document_id", "occurred_at")
    session.copy("order_documents", documents, unit.new_order_documents)
    _columns(
        session, "save_order_steps", list(unit.new_steps.items()),
        id=lambda s: s[0][0], step=lambda s: s[0][1], occurred_at=lambda s: s[1],
    )  # fmt: skip


def _save_movements(session: Session, unit: Unit) -> None:
    movements = unit.movements.values()
    numbers = [row[0] for row in session.rows("new_movement_ids", count=len(movements))] if movements else []
    session.copy(
        "movements",
        (
            "movement_id", "business_key", "kind", "location", "correlation_id", "occurred_at", "provenance",
            "line_count", "units",
        ),
        (
            (
                number, one.business_key, one.kind, one.location, one.correlation_id, one.occurred_at, one.provenance,
                len(one.units), sum(one.units.values()),
            )
            for number, one in zip(numbers, movements, strict=True)
        ),
    )  # fmt: skip
    session.copy(
        "movement_lines",
        ("movement_id", "sku", "quantity"),
        ((number, *line) for number, one in zip(numbers, movements, strict=True) for line in one.units.items()),
    )
    _columns(
        session, "save_signals", list(unit.changed_signals.values()),
        **{name: attrgetter(name) for name in ("sku", "location", "units", "below", "raised_at", "exception_id")},
    )  # fmt: skip
    _columns(
        session, "save_transfers", list(unit.changed_transfers.values()),
        id=lambda t: t.correlation_id, lines=lambda t: _json(t.lines),
        **{name: attrgetter(name) for name in ("origin", "transfer_id", "from_location", "to_location", "currency",
                                               "state", "requested_at", "variance_due_at")},
    )  # fmt: skip


_RETURN: Final = (
    "correlation_id", "origin", "return_id", "channel", "location", "currency", "opened_at", "approved_minor",
    "tax_minor", "refunded_minor", "state", "order", "customer_ref", "approval", "released_minor", "cleared_minor",
    "cleared_tax_minor", "expires_at", "lines", "documents", "partition", "changes", "reason", "taxes",
    "pending_taxes",
)  # fmt: skip
_RETURN_JSON: Final = ("lines", "documents", "taxes", "pending_taxes")
_RETURN_CHANGES: Final = (
    "approved_minor", "tax_minor", "refunded_minor", "state", "order", "customer_ref", "released_minor",
    "cleared_minor", "cleared_tax_minor", "expires_at", "changes", "reason",
)  # fmt: skip


def _save_returns(session: Session, unit: Unit) -> None:
    session.copy(
        "returns",
        _RETURN,
        (
            [_json(getattr(back, name)) if name in _RETURN_JSON else getattr(back, name) for name in _RETURN]
            for back in unit.new_returns
        ),
    )
    new = {back.correlation_id for back in unit.new_returns}
    changed = [back for identity, back in unit.changed_returns.items() if identity not in new]
    _columns(
        session, "save_returns", changed, id=lambda r: r.correlation_id, lines=lambda r: _json(r.lines),
        documents=lambda r: _json(r.documents), taxes=lambda r: None if r.taxes is None else _json(r.taxes),
        pending_taxes=lambda r: _json(r.pending_taxes), **{name: attrgetter(name) for name in _RETURN_CHANGES},
    )  # fmt: skip
    _columns(
        session, "save_refunds", list(unit.changed_refunds.values()), id=lambda r: r.correlation_id,
        **{name: attrgetter(name) for name in ("refund_id", "provider", "amount_minor", "tax_minor", "state",
                                               "payment_id", "kind", "card", "instructed_at", "reclaimed")},
    )  # fmt: skip
    session.copy(
        "credit_pieces",
        (
            "correlation_id", "line_no", "piece_no", "order_correlation_id", "order_line_no", "sku", "quantity",
            "amount_minor", "outcome",
        ),
        (
            (
                p.correlation_id, p.line_no, p.piece_no, p.order_line.correlation_id, p.order_line.line_no,
                p.order_line.sku, p.quantity, p.amount_minor, p.outcome,
            )
            for p in unit.pieces
        ),
    )  # fmt: skip
    session.copy(
        "parked_items",
        (
            "correlation_id", "entity_id", "line_no", "sku", "quantity", "amount_minor", "currency", "reason",
            "whole_line", "owner", "channel", "business_date", "source", "document", "parked_at",
        ),
        ((*msgspec.structs.astuple(item), at) for item, at in unit.parked_items),
    )  # fmt: skip


def _save_journals(session: Session, unit: Unit, now: dt.datetime) -> None:
    session.copy(
        "journals",
        (
            "journal_id", "correlation_id", "document", "entity_id", "occurred_at", "business_date", "channel",
            "location", "currency", "rule_version", "event_source", "event_id", "provenance", "clock_offset", "due_at",
            "legal_entity", "functional_currency", "original_date",
        ),
        (
            (
                j.journal_id, j.correlation_id, j.document, j.entity_id, j.occurred_at, j.business_date, j.channel,
                j.location, j.currency, j.rule_version, message.source, message.event_id, message.provenance,
                offset, j.due_at, j.legal_entity, j.functional_currency, j.original_date,
            )
            for j, message, offset in unit.journals
        ),
    )  # fmt: skip
    session.copy(
        "journal_lines",
        (
            "journal_id", "line_no", "account", "amount_minor", "source", "kind", "quantity", "line_count", "pieces",
            "residue_micros", "related", "reference", "tax_code", "functional_minor",
        ),
        (
            (journal.journal_id, number, *msgspec.structs.astuple(line)[:-1],
             line.amount_minor if line.functional_minor is None else line.functional_minor)
            for journal, _, _ in unit.journals
            for number, line in enumerate(journal.lines, 1)
        ),
    )  # fmt: skip
    if unit.for_erp or any(j.total_minor and j.to_erp for j, _, _ in unit.journals):
        session.run("wake_outbox", kind="erp")
    _open_items(session, unit, now)
    together = [j for j, _, _ in unit.journals if j.total_minor and j.to_erp and unit.rules.summarised(j)]
    if together:
        columns = ("journal_id", "legal_entity", "location", "business_date", "currency")
        session.copy("summary_journals", columns, ([getattr(j, name) for name in columns] for j in together))
    session.copy(
        "erp_documents",
        (
            "document_id", "kind", "erp", "legal_entity", "lane", "correlation_id", "origin", "document", "entity_id",
            "business_date", "channel", "location", "currency", "worth_minor", "event_source", "event_id",
            "provenance", "clock_offset", "due_at", "body", "not_before", "queued_at",
        ),
        chain(
            (
                (
                    j.journal_id, "journal", unit.rules.erp(j.document, j.legal_entity), j.legal_entity,
                    unit.rules.lane(j.document), j.correlation_id,
                    j.journal_id.removesuffix(f":{j.document}/{j.entity_id}"), j.document, j.entity_id,
                    j.business_date, j.channel, j.location, j.currency, j.total_minor, message.source,
                    message.event_id, message.provenance, offset, j.due_at, erp_body(j), now, now,
                )
                for j, message, offset in unit.journals
                if j.total_minor and j.to_erp and not unit.rules.summarised(j)
            ),
            (
                (
                    one.document_id, one.kind, unit.rules.erp(one.document, entity), entity, one.lane,
                    one.correlation_id, one.origin, one.document, one.entity_id, message.business_date, one.channel,
                    one.location, one.currency, one.worth_minor, message.source, message.event_id, message.provenance,
                    offset, one.due_at, one.body, now, now,
                )
                for one, message, offset in unit.for_erp
                for entity in [unit.rules.entity(one.channel, one.location)]
            ),
        ),
    )  # fmt: skip


def _open_items(session: Session, unit: Unit, now: dt.datetime) -> None:
    """What the other side of an account is to settle: the amount, under which number, by when.

    Nobody will ever settle a payment that was generated; it is never late.
    """
    session.copy(
        "open_items",
        (
            "account", "currency", "amount_minor", "open_minor", "reference", "order_id", "origin", "document",
            "correlation_id", "journal_id", "business_date", "due_at",
        ),
        (
            (
                line.account, j.currency, line.amount_minor, line.amount_minor, line.reference or j.entity_id,
                order.order_id if (order := unit.orders.get(j.correlation_id)) else j.entity_id,
                j.journal_id.removesuffix(f":{j.document}/{j.entity_id}"), j.document, j.correlation_id, j.journal_id,
                j.business_date, NEVER if message.provenance == "generated"
                else max(now, j.occurred_at - offset + unit.rules.expected_within(line.account)),
            )
            for j, message, offset in unit.journals
            for line in j.lines
            if line.amount_minor and unit.rules.opens(j.document, line.account)
        ),
    )  # fmt: skip


def erp_body(journal: Journal) -> bytes:
    """What the ERP is sent of a journal, as JSON."""
    return msgspec.json.encode(
        {
            "idempotency_key": journal.journal_id,
            "journal_id": journal.journal_id,
            "kind": journal.document,
            "business_date": journal.business_date,
            "currency": journal.currency,
            "lines": [
                {"account": line.account, "amount_minor": line.amount_minor}
                | ({"tax_code": line.tax_code} if line.tax_code else {})
                for line in journal.lines
                if line.amount_minor
            ],
        }
    )


def _save_exceptions(session: Session, unit: Unit) -> None:
    add_exceptions(session, unit.exceptions)
    _columns(
        session, "revalue_exceptions", list(unit.revalued.items()),
        exception_id=lambda e: e[0], amount_minor=lambda e: e[1][0], detail=lambda e: e[1][1],
    )  # fmt: skip
    _columns(
        session, "resolve_exceptions", unit.resolved,
        exception_id=lambda e: e[0], resolution=lambda e: e[1], at=lambda e: e[2],
    )  # fmt: skip


def add_exceptions(session: Session, items: Sequence[tuple[ExceptionItem, dt.datetime]]) -> int:
    """Open exceptions, each at its time; returns how many were not open before."""
    if not items:
        return 0
    names = ("exception_id", "kind", "severity", "correlation_id", "entity", "entity_id", "owner", "amount_minor",
             "currency", "detail", "cause_source", "cause_event_id")  # fmt: skip
    columns: dict[str, list[Any]] = {name: [getattr(item, name) for item, _ in items] for name in names}
    return session.run("add_exceptions", **columns, opened_at=[at for _, at in items]).rowcount


def _still_waiting(session: Session, unit: Unit, seqs: dict[int, Verdict]) -> dict[int, Verdict]:
    """The verdicts, with events queued again whose wait ended in another unit of work since this one read it.

    Whoever parks on a transaction and whoever moves it on take its lock first, so that one of them sees the other.
    """
    waited = {verdict.waiting_for for verdict in seqs.values() if verdict.waiting_for}
    if not waited and not unit.arrived:
        return seqs
    session.run("lock_transactions", ids=sorted(waited | unit.arrived))
    now = {row[0]: row[1:] for row in session.rows("transaction_states", ids=sorted(waited - unit.arrived))}
    seen = {
        identity: (order.state, order.paid_minor, order.due_minor)
        if order
        else (back.state, back.changes, 0)
        if back
        else None
        for identity in waited
        for order, back in ((unit.orders.get(identity), unit.returns.get(identity)),)
    }
    over = {identity for identity in waited if identity in now and now[identity] != seen[identity]}
    return {
        seq: Verdict("queued", verdict.reason) if verdict.waiting_for in over else verdict
        for seq, verdict in seqs.items()
    }


def _settle(session: Session, seqs: dict[int, Verdict]) -> None:
    silent = [seq for seq, verdict in seqs.items() if verdict.state == "done" and not verdict.reason]
    if silent:
        session.run("settle_done", seq=silent)
    said = [(seq, verdict) for seq, verdict in seqs.items() if verdict.state != "done" or verdict.reason]
    _columns(
        session, "settle", said,
        seq=lambda s: s[0], state=lambda s: s[1].state, reason=lambda s: s[1].reason,
        waiting_for=lambda s: s[1].waiting_for,
    )  # fmt: skip


def _columns(session: Session, statement: str, items: Sequence[T], /, **columns: Callable[[T], Any]) -> None:
    """Run a statement that takes one array per column; nothing when there are no items."""
    if items:
        session.run(statement, **{column: [value(item) for item in items] for column, value in columns.items()})


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
