"""Viewers of the pages while spans come in: how long a page, its refresh and an acknowledgement take."""

import multiprocessing
import re
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from collector import synthetic
from dashboards import addresses
from dashboards.pages.frame import REFRESH_MILLISECONDS
from lineage.model import StoredBucket
from tallytrace.order_load import Waits, at_rate
from tallytrace.remote import client, read
from tallytrace.supervisor import Product

SPANS_IN_A_REQUEST: Final = 512
SEED: Final = 7
PLACES: Final = (addresses.promises(), addresses.promise("refund_to_ledger"), addresses.promise("stock_freshness"))
CHANGES_PER_SECOND: Final = 4
CHANGE_SECONDS: Final = 15.0
LOOKS: Final = 20
LOOK_AGAIN_SECONDS: Final = 3.0
NAMED: Final = re.compile(r'(?:src|href)="(/[^"]+\.(?:js|css)[^"]*)"')


class PageReport(Struct, frozen=True):
    """``first_page_ms``: all that a browser is sent before it can draw, by one connection, its own work apart."""

    viewers: int
    spans_per_s: int  # offered
    acknowledged: Waits
    callbacks: Waits
    changes: Waits  # of the page, while nothing else is asked
    lost_spans: int
    first_page_ms: float
    first_page_bytes: int


def measure(product: Product, folder: Path, *, viewers: int, spans_per_s: int, seconds: float) -> PageReport:
    """``folder`` is where the requests of spans are kept. Raises RuntimeError for an answer that is no 200.

    It ends within some minutes on any machine: what cannot be sent by then counts as waiting.
    """
    first_ms, first_bytes = _first_page(product.plane_url)
    _make(folder, int(spans_per_s * seconds))
    refresh = _refreshes(product.plane_url)
    changes = at_rate(product.plane_url, lambda n: refresh[n % len(refresh)], per_second=CHANGES_PER_SECOND,
                      seconds=CHANGE_SECONDS)  # fmt: skip
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    per_second = spans_per_s / SPANS_IN_A_REQUEST
    sender = context.Process(target=_offer, args=(product.collector_url, str(folder), per_second, sending))
    sender.start()
    sending.close()
    receiving.recv()  # it is about to begin
    each_second = viewers * len(refresh) / len(PLACES) / (REFRESH_MILLISECONDS / 1000)
    callbacks = at_rate(product.plane_url, lambda n: refresh[n % len(refresh)], per_second=each_second, seconds=seconds)
    told = receiving.recv()
    sender.join()
    if isinstance(told, str):
        raise RuntimeError(f"spans: {told}")
    lost = _lost(product.plane_url, told.requests * SPANS_IN_A_REQUEST)
    return PageReport(viewers, spans_per_s, told, callbacks, changes, lost, first_ms, first_bytes)


def _lost(plane_url: str, acknowledged: int) -> int:
    """How many of the acknowledged spans are still not stored after LOOKS looks."""
    lost = acknowledged
    for _ in range(LOOKS):
        buckets = read(
            f"{plane_url}/v1/audit/spans", list[StoredBucket], timeout_seconds=300, service=synthetic.SERVICE
        )
        lost = max(0, acknowledged - sum(one.count for one in buckets))
        if not lost:
            break
        time.sleep(LOOK_AGAIN_SECONDS)
    return lost


def _first_page(plane_url: str) -> tuple[float, int]:
    """The page and what it names, compressed as for a browser."""
    started = time.perf_counter()
    page = client().get(f"{plane_url}{addresses.promises()}")
    named = NAMED.findall(page.text)
    size = page.num_bytes_downloaded
    for path in (*named, f"{addresses.PREFIX}/_dash-layout", f"{addresses.PREFIX}/_dash-dependencies"):
        answer = client().get(f"{plane_url}{path}")
        if answer.status_code != 200:
            raise RuntimeError(f"{path} answered {answer.status_code}")
        size += answer.num_bytes_downloaded
    return round((time.perf_counter() - started) * 1_000, 1), size


def _refreshes(plane_url: str) -> list[tuple[str, str, bytes]]:
    """What the browser of a viewer asks at each tick: the page that is open, and how the core stands."""
    callbacks: list[dict[str, Any]] = client().get(f"{plane_url}{addresses.PREFIX}/_dash-dependencies").json()
    ticking = [one for one in callbacks if not one["clientside_function"]
               and any(given["id"] == "tick" for given in one["inputs"])]  # fmt: skip
    return [_asked(one, place) for place in PLACES for one in ticking]


def _asked(callback: dict[str, Any], place: str) -> tuple[str, str, bytes]:
    values = {"pathname": place, "search": "", "n_intervals": 1}
    outputs = [part.rpartition(".") for part in callback["output"].strip(".").split("...")]
    named = [{"id": name, "property": what} for name, _, what in outputs]
    body = {
        "output": callback["output"],
        "outputs": named if callback["output"].startswith("..") else named[0],
        "inputs": [{**one, "value": values.get(one["property"])} for one in callback["inputs"]],
        "state": [{**one, "value": None} for one in callback["state"]],
        "changedPropIds": ["tick.n_intervals"],
    }
    return "POST", f"{addresses.PREFIX}/_dash-update-component", msgspec.json.encode(body)


def _make(folder: Path, spans: int) -> None:
    folder.mkdir()
    transactions = max(1, spans // len(synthetic.HOPS) // SPANS_IN_A_REQUEST) * SPANS_IN_A_REQUEST
    for number, body in enumerate(synthetic.requests(transactions, SPANS_IN_A_REQUEST, seed=SEED), 1):
        (folder / f"{number:08}").write_bytes(body)


def _offer(collector_url: str, folder: str, per_second: float, told: Connection) -> None:
    """In a process of its own: every request of the folder at a steady rate."""
    bodies = sorted(Path(folder).iterdir())
    told.send(None)
    try:
        waits = at_rate(
            collector_url, lambda number: ("POST", "/v1/traces", bodies[number].read_bytes()),
            per_second=per_second, seconds=len(bodies) / per_second, content="application/x-protobuf",
        )  # fmt: skip
    except (RuntimeError, OSError) as error:
        told.send(str(error))
    else:
        told.send(waits)
