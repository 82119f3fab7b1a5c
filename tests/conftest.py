"""What tests share: real engines in directories of their own, and free ports."""

import contextlib
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector import otlp
from collector.segments import SegmentLog
from collector.storage import Storage
from tallytrace import postgres
from tests import clickhouse_http
from tests.core import database

pytest_plugins = ["tests.capabilities"]

FIRST_PORT = 12_000
LAST_PORT = 32_000
PORTS = 1_000


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory short enough for sockets, that the PostgreSQL server's account may pass through."""
    directory = Path(tempfile.mkdtemp(prefix="tallytrace-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of an embedded server for the whole run."""
    directory = Path(tempfile.mkdtemp(prefix="tallytrace-pg-"))
    directory.chmod(0o755)
    with postgres.serving(directory) as url:
        yield url
    shutil.rmtree(directory)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """URL of an empty database."""
    with database(postgres_server) as url:
        yield url


@pytest.fixture
def clickhouse_url(home: Path, free_port: Callable[[], int]) -> Iterator[str]:
    """URL of an empty ClickHouse server, in a process of its own."""
    with clickhouse_http.running(home / "clickhouse", free_port()) as url:
        yield url


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """An embedded engine with our schema, for the tests of one file."""
    made = Storage.connect(f"chdb://{tmp_path_factory.mktemp('clickhouse')}")
    made.migrate()
    yield made
    made.close()


@pytest.fixture(scope="module")
def log(storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SegmentLog]:
    """The collector's log in front of it."""
    with SegmentLog(tmp_path_factory.mktemp("log"), storage.insert_segment, otlp.normalised) as made:
        yield made


@pytest.fixture(scope="session")
def free_port() -> Iterator[Callable[[], int]]:
    """Ports below the system's own that no other process of tests gets: each holds a range by its first port."""
    with socket.socket() as guard:
        for first in range(FIRST_PORT, LAST_PORT, PORTS):
            with contextlib.suppress(OSError):
                guard.bind(("127.0.0.1", first))
                break
        else:
            raise AssertionError(f"every range of ports from {FIRST_PORT} to {LAST_PORT} is held")
        ports = iter(range(first + 1, first + PORTS))

        def one() -> int:
            for port in ports:
                with socket.socket() as probe, contextlib.suppress(OSError):
                    probe.bind(("127.0.0.1", port))
                    return port
            raise AssertionError(f"no free port among {PORTS}")

        yield one
