"""The only file that opens ClickHouse: embedded (chDB) or a server, by the same calls."""

import ctypes
import logging
import os
import queue
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from string import Template
from typing import Any, Final, Self
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect import common
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from collector import migrations, retention
from collector.errors import QueryTimeoutError, StorageError, StorageUnavailableError, UnreadableSegmentError

__all__ = ["QueryTimeoutError", "Storage", "StorageError", "StorageUnavailableError", "UnreadableSegmentError"]

# A setting that a server does not know is one that its queries do without: they are slower, and mean the same.
common.set_setting("invalid_setting_action", "drop")

log = logging.getLogger(__name__)

EMBEDDED_DATABASE: Final = "tallytrace"
_OTLP_SCHEMA: Final = Path(__file__).parent / "otlp.proto"
_INSERT_SEGMENT: Final = Template(migrations.split_statements((migrations.SQL / "insert_segment.sql").read_text())[0])
_APPLIED: Final = (migrations.SQL / "applied_migrations.sql").read_text()
_CREATED: Final = (migrations.SQL / "created_tables.sql").read_text()
_MIGRATION_COLUMNS: Final = ("version", "statement", "name", "digest")

_SEGMENT_SETTINGS: Final[Mapping[str, Any]] = {
    # Every table replaces or merges what is inserted again, so a retry is harmless. The engine's own recognition of
    # retries is not: killed between its log of blocks and the part, it skips the retry of rows it never got.
    "insert_deduplicate": 0,
    "max_block_size": 65_536,
    "min_insert_block_size_rows": 1_048_576,
    "min_insert_block_size_bytes": 268_435_456,
    "max_insert_threads": 1,
    "async_insert": 0,
    # Spans that are taken wait on disk, and whoever sends or asks waits for an answer.
    "os_threads_nice_value_query": 10,
    "os_threads_nice_value_materialized_view": 10,
    # Late facts of many months are normal; the default would refuse them.
    "max_partitions_per_insert_block": 0,
    # Rows of one block are merged later; merging 50 columns row by row at insertion took a third of the whole work.
    "optimize_on_insert": 0,
}

_SETTINGS: Final[Mapping[str, Any]] = {
    # Each of these compares every part of a query with every other: half of the time that it takes to plan a long one.
    "optimize_and_compare_chain": 0,
    "optimize_aggregators_of_group_by_keys": 0,
    "optimize_group_by_function_keys": 0,
}
_READ_SETTINGS: Final[Mapping[str, Any]] = {
    **_SETTINGS,
    # Of an index that is looked at while rows are read, the engine opens each part twice: a transaction of a store of
    # ten million spans costs 25 ms of processor time so, 15 when the index is looked at before.
    "use_skip_indexes_on_data_read": 0,
    # Of what is asked for the third time the engine makes machine code: a list of 40 ms then takes 300 ms, once.
    "compile_expressions": 0,
    "compile_aggregate_expressions": 0,
    "compile_sort_description": 0,
}

# No more than a wish: without the right to lower it again (CAP_SYS_NICE) the engine leaves it.
_ASIDE: Final[Mapping[str, Any]] = {"os_threads_nice_value_query": 15}

_MESSAGE: Final = "ExportTraceServiceRequest"
# A server must be told the schema; the embedded engine would write what it is told into the working directory.
_SCHEMA_IN_FILE: Final = {"format_schema_source": "file", "format_schema": f"{_OTLP_SCHEMA}:{_MESSAGE}"}
_SCHEMA_SENT: Final = {
    "format_schema_source": "string",
    "format_schema": _OTLP_SCHEMA.read_text(),
    "format_schema_message_name": _MESSAGE,
}

# What the server answers when the bytes cannot be read as requests; anything else is its own trouble and will pass.
_UNREADABLE: Final = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        32,  # ATTEMPT_TO_READ_AFTER_EOF
        33,  # CANNOT_READ_ALL_DATA
        36,  # BAD_ARGUMENTS
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        117,  # INCORRECT_DATA
        128,  # TOO_LARGE_ARRAY_SIZE
        131,  # TOO_LARGE_STRING_SIZE
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        395,  # FUNCTION_THROW_IF_VALUE_IS_NON_ZERO
        407,  # DECIMAL_OVERFLOW
        436,  # PROTOBUF_BAD_CAST
        444,  # UNKNOWN_PROTOBUF_FORMAT
    }
)
_TIMEOUT_CODES: Final = frozenset({159, 160})


class Storage:
    """ClickHouse behind bounded sets of clients: a client serialises, so each serves one thread at a time.

    Nothing is opened before the first call, so that a process can start while the server is away.
    """

    def __init__(self, url: str, *, max_queries: int, max_writers: int) -> None:
        self._open = _opener(url)
        self._embedded = urlsplit(url).scheme == "chdb"
        self._directory = Path(urlsplit(url).path)
        self._also: Mapping[str, Any] = {}
        self._readers = _Clients(lambda: self._open(_READ_SETTINGS), max_queries)
        self._writers = _Clients(lambda: self._open(_SETTINGS), max_writers)

    @classmethod
    def connect(cls, url: str, *, max_queries: int = 4, max_writers: int = 3) -> Self:
        """``url`` is ``chdb:///absolute/directory`` or ``http(s)://user:password@host:port/database``."""
        return cls(url, max_queries=max_queries, max_writers=max_writers)

    def aside(self) -> Self:
        """The same storage for work that nobody waits for: its queries leave the processor to others."""
        other = copy(self)
        other._also = _ASIDE
        return other

    def migrate(self) -> int:
        """Apply what is missing and return how many statements that was; safe to repeat and to kill."""
        statements = migrations.load()
        with self._writers.one() as client, _translated():
            for statement in statements:
                if statement.version == 0:
                    client.command(statement.sql)
            rows = client.query(_APPLIED).result_rows
            needed = migrations.pending(statements, {(row[0], row[1]): row[2] for row in rows})
            for statement in needed:
                client.command(statement.sql)
                row = (statement.version, statement.number, statement.name, statement.digest)
                client.insert("schema_migrations", [row], column_names=_MIGRATION_COLUMNS)
        return len(needed)

    def keep(self, days: Mapping[str, int]) -> Sequence[str]:
        """Let rows of the tables named expire after so many days, and no others; returns the statements that took."""
        with self._writers.one() as client, _translated():
            statements = retention.changes(days, {row[0]: row[1] for row in client.query(_CREATED).result_rows})
            for statement in statements:
                client.command(statement)
        return statements

    def insert_segment(self, path: Path) -> None:
        """Insert a file of length-delimited export requests; inserting it again changes no answer.

        The rows are on disk when it returns; of a server that is so when ``fsync_after_insert`` is set there. Raises
        UnreadableSegmentError when a request in it cannot be read, otherwise a StorageError that may pass.
        """
        settings = _SEGMENT_SETTINGS
        with self._writers.one() as client, _translated(unreadable=_UNREADABLE):
            if self._embedded:
                given = {**settings, **_SCHEMA_IN_FILE}.items()
                clause = ", ".join(f"{name} = {_quoted(value)}" for name, value in given)
                client.command(_INSERT_SEGMENT.substitute(file=_quoted(path), settings=clause))
                _sync_file_system(self._directory)
            else:
                with path.open("rb") as body:
                    client.raw_insert(
                        "otlp_requests", insert_block=body, fmt="Protobuf", settings={**settings, **_SCHEMA_SENT}
                    )

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        with self._writers.one() as client, _translated():
            client.insert(table, rows, column_names=columns)

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> None:
        """A statement whose result nobody needs; ``params`` fill ``{name:Type}``."""
        with self._writers.one() as client, _translated():
            client.command(sql, parameters=dict(params or {}), settings=dict(self._also))

    def query(
        self, sql: str, params: Mapping[str, Any] | None = None, *, max_seconds: float = 10.0, threads: int = 1
    ) -> list[tuple[Any, ...]]:
        """Rows of a SELECT without SETTINGS clause; ``params`` fill ``{name:Type}``; times come back in UTC, aware.

        ``threads``: at most so many read at once; more than one is for what reads much and somebody waits for.
        """
        settings = {"max_execution_time": max_seconds, "max_threads": threads, **self._also}
        with self._readers.one(max_seconds) as client, _translated():
            answer = client.query(sql, parameters=dict(params or {}), settings=settings)
            return [tuple(row) for row in answer.result_rows]

    def ping(self) -> bool:
        try:
            return self.query("SELECT 1", max_seconds=2.0) == [(1,)]
        except StorageError as error:
            log.warning("ClickHouse does not answer: %s", error)
            return False

    def close(self) -> None:
        """Wait for what is under way, then close every client; chDB then lets go of its directory."""
        self._readers.close()
        self._writers.close()


class _Clients:
    """A bounded set of clients, opened when first needed and handed to one thread at a time."""

    def __init__(self, open_client: Callable[[], Client], size: int) -> None:
        self._open = open_client
        self._size = size
        self._closed = False
        self._idle: queue.LifoQueue[Client | None] = queue.LifoQueue()
        for _ in range(size):
            self._idle.put(None)

    @contextmanager
    def one(self, wait_seconds: float | None = None) -> Iterator[Client]:
        try:
            client = self._idle.get(timeout=wait_seconds)
        except queue.Empty:
            raise QueryTimeoutError(f"no turn within {wait_seconds} s") from None
        try:
            if self._closed:
                raise StorageUnavailableError("the storage is closed")
            if client is None:
                client = self._open()
            yield client
        finally:
            self._idle.put(client)

    def close(self) -> None:
        self._closed = True
        for client in [self._idle.get() for _ in range(self._size)]:
            if client is not None:
                client.close()
            self._idle.put(None)


def _opener(url: str) -> Callable[[Mapping[str, Any]], Client]:
    """A function that opens a client with settings, after making sure once that the database exists."""
    parts = urlsplit(url)
    lock = threading.Lock()
    ready = False
    if parts.scheme == "chdb":
        where: dict[str, Any] = {"interface": "chdb", "path": parts.path}
        database = EMBEDDED_DATABASE
    elif parts.scheme in ("http", "https"):
        where = {"interface": parts.scheme, "dsn": url, "autogenerate_session_id": False}
        database = parts.path.strip("/") or "default"
    else:
        raise ValueError(f"not the URL of a ClickHouse: {parts.scheme}://…; use chdb:///directory or http(s)://…")

    def open_client(settings: Mapping[str, Any]) -> Client:
        nonlocal ready
        with _translated():
            with lock:
                if not ready and parts.scheme == "chdb":
                    first = clickhouse_connect.get_client(**where)
                    first.command(f"CREATE DATABASE IF NOT EXISTS {database} ENGINE = Atomic")
                    first.close()
                ready = True
            return clickhouse_connect.get_client(**where, database=database, settings=dict(settings), tz_mode="aware")

    return open_client


@contextmanager
def _translated(*, unreadable: Collection[int] = ()) -> Iterator[None]:
    """Turn the driver's errors into those that callers decide by; ``unreadable`` codes are the fault of the input."""
    try:
        yield
    except ClickHouseError as error:
        code = getattr(error, "code", None)
        message = str(error).partition("Stack trace")[0]
        if isinstance(error, OperationalError) and code is None:
            raise StorageUnavailableError(message) from error
        if code in unreadable:
            raise UnreadableSegmentError(message) from error
        if code in _TIMEOUT_CODES:
            raise QueryTimeoutError(message) from error
        raise StorageError(message) from error


def _sync_file_system(directory: Path) -> None:
    """Bring what an insert wrote around a directory to the disk: hundreds of files, none of which it syncs.

    One call for all of them took 0.05 to 0.15 s for 82,000 spans, the engine's own ``fsync_after_insert`` about 0.7 s.
    Raises StorageError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if libc.syncfs(descriptor):
            raise StorageError(f"{directory} cannot be synced: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(descriptor)


def _quoted(value: object) -> str:
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"
