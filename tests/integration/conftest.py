"""A sync core over a database of its own, and its API over a real socket."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from collector.segments import SegmentLog
from collector.storage import Storage
from sync_core import api, books_api, customer_api, return_api, settlement_api
from sync_core.files import FileReader
from sync_core.ledger import load_rules
from sync_core.reading import Reader
from sync_core.shelf import Shelves
from sync_core.workers import Loop
from tallytrace import webserver
from tests.core import Core, opened
from tests.estate import Estate, Tell, telling


@pytest.fixture
def posting_rules() -> str:
    """What is laid over the posting rules delivered."""
    return ""


@pytest.fixture
def core(postgres_url: str, posting_rules: str, home: Path) -> Iterator[Core]:
    with opened(postgres_url) as one:
        if posting_rules:
            (home / "rules.toml").write_text(posting_rules)
            one.rules = load_rules(override=str(home / "rules.toml"))
        yield one


@pytest.fixture
def http(core: Core, home: Path, free_port: Callable[[], int]) -> Iterator[httpx.Client]:
    """Events given to it wait until the test works them off; an order given to it is decided at once."""
    stop, folder = threading.Event(), home / "files"
    read = Reader(core.db, folder, lambda: core.now, stop).read
    reader = FileReader(core.db, folder, lambda: core.now, read, stop.set)
    shelves = Shelves(core.db, lambda: core.now)
    worker = Loop("worker", core.processor().run_once, idle_seconds=3600)
    loops = [Loop("files", reader.run_once, idle_seconds=0.05), Loop("shelves", shelves.refresh, idle_seconds=0.02),
             worker]  # fmt: skip
    for loop in loops:
        loop.start()
    app = api.create_app(
        api.Core(core.db, reader, lambda: core.now, None, shelves, worker.wake, rules=core.rules),
        *customer_api.HANDLERS,
        *return_api.HANDLERS,
        *settlement_api.HANDLERS,
        *books_api.HANDLERS,
    )
    port = free_port()
    with (
        webserver.serving(app, "127.0.0.1", port, name="core"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client
    reader.stop()
    for loop in loops:
        loop.stop()


@pytest.fixture
def estate(http: httpx.Client, core: Core) -> Estate:
    return Estate(http, core)


@pytest.fixture
def journey(core: Core, storage: Storage, log: SegmentLog) -> Tell:
    return telling(core, storage, log)
