"""The database of the sync core: made in numbered steps, and a journal that only grows."""

import threading
from typing import LiteralString

import psycopg
import pytest

from sync_core import named_sql
from sync_core.store import Store
from tests.core import Core
from tests.factories import goods_back, goods_in, order, payment, sent, shipment

SHAPE: LiteralString = """
select 'column', table_name, column_name, data_type || is_nullable || coalesce(column_default, '')
from information_schema.columns where table_schema = 'core'
union all select 'index', tablename, indexname, indexdef from pg_indexes where schemaname = 'core'
union all select 'rule', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
from pg_constraint where connamespace = 'core'::regnamespace
union all select 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid)
from pg_trigger where not tgisinternal
order by 1, 2, 3, 4
"""


def test_migrating_twice_is_harmless(core: Core) -> None:
    before = core.rows(SHAPE)
    assert core.db.migrate() == []
    assert core.rows(SHAPE) == before
    assert core.rows("select number, name from core.migrations order by 1") == [
        (number, name) for number, name, _ in named_sql.migrations()
    ]


def test_migrating_step_by_step_gives_what_migrating_at_once_gives(core: Core, postgres_url: str) -> None:
    at_once = core.rows(SHAPE)
    assert len(at_once) > 150
    migrations = named_sql.migrations()
    for done in range(len(migrations)):
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("drop schema core cascade")
            connection.execute("create schema core")
            connection.execute(
                "create table core.migrations (number integer primary key, name text not null,"
                " applied_at timestamptz not null default now())"
            )
            for number, name, text in migrations[:done]:
                connection.execute(text)
                connection.execute("insert into core.migrations (number, name) values (%s, %s)", (number, name))
        assert core.db.migrate() == [name for _, name, _ in migrations[done:]]
        assert core.rows(SHAPE) == at_once


def test_processes_that_start_together_migrate_once(postgres_url: str) -> None:
    stores = [Store(postgres_url, connections=1) for _ in range(4)]
    done: list[list[str]] = []
    for store in stores:
        store.open()
    threads = [threading.Thread(target=lambda one=store: done.append(one.migrate())) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert sorted(done) == [[], [], [], [name for _, name, _ in named_sql.migrations()]]


CHANGES: tuple[LiteralString, ...] = (
    "update core.journals set document = 'x'",
    "delete from core.journals",
    "truncate core.journals cascade",
    "update core.journal_lines set amount_minor = 0",
    "delete from core.journal_lines",
    "truncate core.journal_lines",
)


@pytest.mark.parametrize("change", CHANGES)
def test_the_journal_refuses_every_change(core: Core, change: LiteralString) -> None:
    core.take(sent(order()), sent(payment()))
    before = core.journal()
    assert before.count("\n") == 3
    with pytest.raises(psycopg.errors.RaiseException, match="append-only: correct it with a new, dated entry"):
        core.rows(change)
    assert core.journal() == before


def test_a_counter_below_zero_and_more_refunded_than_approved_cannot_be_written(core: Core) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        core.rows("insert into core.stock (sku, location, reserved) values ('A1', 'WH1', -1)")
    core.take(sent(goods_in()), sent(order()), sent(payment()), sent(shipment()), sent(goods_back()))
    with pytest.raises(psycopg.errors.CheckViolation):
        core.rows("update core.returns set refunded_minor = approved_minor + 1")
