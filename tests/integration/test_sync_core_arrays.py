"""Arrays as this product writes them, read by a real server."""

import datetime as dt
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import DataError

from sync_core.arrays import ArrayDumper, literal

NOW = dt.datetime(2011, 3, 4, 5, 6, 7, 89, tzinfo=dt.timezone(dt.timedelta(hours=-3)))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("bigint", [1, -(2**63), None, 2**63 - 1]),
        ("boolean", [True, False]),
        ("text", ["plain", "", None, "NULL", "null", 'quo"te', "back\\slash", "{a,b}", "é\n\t ", "\\x41", "'"]),
        ("bytea", [b"", b"\x00\xff\\", None]),
        ("timestamptz", [NOW, dt.datetime.max.replace(tzinfo=dt.UTC, year=9998), None]),
        ("date", [dt.date(2011, 12, 9), None]),
        ("interval", [dt.timedelta(days=-3, seconds=5, microseconds=7), dt.timedelta(), None]),
        ("text", []),
        ("text", [None, None]),
    ],
)
def test_every_value_arrives_as_it_was_sent(postgres_server: str, kind: str, values: list[Any]) -> None:
    with psycopg.connect(postgres_server) as connection:
        connection.adapters.register_dumper(list, ArrayDumper)
        query = sql.SQL("select %s::{}[]").format(sql.SQL(kind))
        assert connection.execute(query, (values,)).fetchone() == (values,)


@pytest.mark.parametrize("values", [["a", 1], [1, True], [1.5], [["nested"]], ["nul\0"]])
def test_what_is_not_an_array_of_one_kind_is_refused(values: list[Any]) -> None:
    with pytest.raises(DataError):
        literal(values)
