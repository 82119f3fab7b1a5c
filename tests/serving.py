"""The API of a core over a real socket."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from sync_core import api
from sync_core.files import FileReader
from sync_core.ledger import books_api, ledger
from sync_core.orders.desk import Desk
from sync_core.parties import customer_api
from sync_core.reading import Reader
from sync_core.returns import return_api
from sync_core.settlements import settlement_api
from sync_core.stock.shelf import Shelves
from sync_core.workers import Loop
from tallytrace import webserver
from tests.core import Core


@contextmanager
def serving(core: Core, home: Path, port: int) -> Iterator[httpx.Client]:
    """Events given to it wait until the test works them off; an order given to it is decided at once."""
    stop, folder = threading.Event(), home / "files"
    read = Reader(core.db, folder, ledger.load_rules(), lambda: core.now, stop).read
    reader = FileReader(core.db, folder, lambda: core.now, read, stop.set)
    shelves = Shelves(core.db, lambda: core.now)
    processor = core.processor()

    def decide() -> int:
        done = processor.run_once()
        desk.look_again()
        return done

    worker = Loop("worker", decide, idle_seconds=3600)
    desk = Desk(core.db, lambda: core.now, worker.wake, max_queued=api.MAX_QUEUED)
    loops = [Loop("files", reader.run_once, idle_seconds=0.05), Loop("shelves", shelves.refresh, idle_seconds=0.02),
             worker]  # fmt: skip
    for loop in loops:
        loop.start()
    app = api.create_app(
        api.Core(core.db, reader, lambda: core.now, (), shelves, desk, rules=core.rules),
        *customer_api.HANDLERS,
        *return_api.HANDLERS,
        *settlement_api.HANDLERS,
        *books_api.HANDLERS,
    )
    with (
        webserver.serving(app, "127.0.0.1", port, name="core"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=False) as client,
    ):
        try:
            yield client
        finally:
            reader.stop()
            for loop in loops:
                loop.stop()
