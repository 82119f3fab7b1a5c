"""A stand-in ERP: it gives every document a number, keeps it, and fails on demand.

Run alone with ``python -m tallytrace.erp_stub --port 9400 --state erp.jsonl``.
"""

import argparse
import asyncio
import datetime as dt
import hashlib
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import uvicorn
from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath
from msgspec import UNSET, Meta, Struct, UnsetType

from tallytrace.lifeline import end_with_parent

MAX_DOCUMENTS: Final = 500

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Share = Annotated[float, Meta(ge=0, le=1)]
Wrong = Literal["unbalanced", "period"]


class JournalLine(Struct, frozen=True, omit_defaults=True):
    account: Name
    amount_minor: int  # debit +, credit -
    tax_code: str = ""


class Journal(Struct, frozen=True):
    idempotency_key: Name
    journal_id: Name
    kind: Name
    business_date: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
    lines: tuple[JournalLine, ...]


class OrderLine(Struct, frozen=True):
    sku: Name
    quantity: int
    amount_minor: int


class SalesOrder(Struct, frozen=True):
    idempotency_key: Name
    order_id: Name
    channel: Name
    location: Name
    business_date: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
    lines: tuple[OrderLine, ...]

    @property
    def kind(self) -> str:
        return "sales_order"


class Amendment(Struct, frozen=True):
    """The sales order under another key is now this; of several the one with the highest version holds."""

    idempotency_key: Name
    sales_order: Name
    version: int
    business_date: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
    amount_minor: int
    tax_minor: int
    lines: tuple[OrderLine, ...]
    reason: str = ""

    @property
    def kind(self) -> str:
        return "sales_order_amendment"


class Cancellation(Struct, frozen=True):
    """The sales order under another key is not wanted any more."""

    idempotency_key: Name
    sales_order: Name
    business_date: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    reason: str = ""

    @property
    def kind(self) -> str:
        return "sales_order_cancellation"


class MovedLine(Struct, frozen=True):
    sku: Name
    quantity: Annotated[int, Meta(gt=0)]


class GoodsMovement(Struct, frozen=True):
    idempotency_key: Name
    business_date: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    from_place: Name
    to_place: Name
    lines: tuple[MovedLine, ...]

    @property
    def kind(self) -> str:
        return "goods_movement"


class Result(Struct, frozen=True, kw_only=True):
    idempotency_key: str
    status: Literal["accepted", "rejected", "retry"]
    document: str = ""
    reason: str = ""


class Results(Struct, frozen=True):
    results: list[Result]


Document = Journal | SalesOrder | Amendment | Cancellation | GoodsMovement


class Entry(Struct, frozen=True, omit_defaults=True):
    """A line of the state file: a document of one kind and the number it was given."""

    document: int
    journal: Journal | None = None
    sales_order: SalesOrder | None = None
    goods_movement: GoodsMovement | None = None
    sales_order_cancellation: Cancellation | None = None
    sales_order_amendment: Amendment | None = None

    @classmethod
    def of(cls, document: int, body: Document) -> "Entry":
        match body:
            case Journal():
                return cls(document, journal=body)
            case SalesOrder():
                return cls(document, sales_order=body)
            case GoodsMovement():
                return cls(document, goods_movement=body)
            case Cancellation():
                return cls(document, sales_order_cancellation=body)
            case Amendment():
                return cls(document, sales_order_amendment=body)

    @property
    def body(self) -> Document:
        change = self.sales_order_amendment or self.sales_order_cancellation
        body = self.journal or self.sales_order or self.goods_movement or change
        assert body is not None
        return body


class Chaos(Struct, frozen=True, kw_only=True):
    latency_ms: Annotated[float, Meta(ge=0, le=60_000)] = 0
    fail_share: Share = 0  # of requests answered 429 or 503 before anything is kept
    lost_share: Share = 0  # of requests that are kept and then answered 503: the answer was lost
    hold_kinds: tuple[str, ...] = ()
    wrong: dict[str, Wrong] = {}  # by key: what it keeps of a journal lacks its last line, or is of the next month
    distort_minor: int = 0  # what it keeps of the first line of a journal is off by so much
    down_seconds: Annotated[float, Meta(ge=0)] = 0
    retry_after_seconds: Annotated[int, Meta(ge=0)] = 1
    requests_per_second: Annotated[float, Meta(ge=0)] = 0  # more are answered 429; 0: as many as come
    max_concurrent: Annotated[int, Meta(ge=0)] = 0  # more at a time are answered 429; 0: as many as come


class ChaosChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    latency_ms: Annotated[float, Meta(ge=0, le=60_000)] | UnsetType = UNSET
    fail_share: Share | UnsetType = UNSET
    lost_share: Share | UnsetType = UNSET
    hold_kinds: tuple[str, ...] | UnsetType = UNSET
    wrong: dict[str, Wrong] | UnsetType = UNSET
    distort_minor: int | UnsetType = UNSET
    down_seconds: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    retry_after_seconds: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    requests_per_second: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    max_concurrent: Annotated[int, Meta(ge=0)] | UnsetType = UNSET


class Problem(Struct, frozen=True, kw_only=True):
    title: str
    status: int
    detail: str
    type: str = "about:blank"


class Kept(Struct, frozen=True):
    document: int
    digest: bytes
    offset: int
    length: int


_DECODE: Final[dict[str, msgspec.json.Decoder[list[Any]]]] = {
    "journals": msgspec.json.Decoder(list[Journal]),
    "sales_orders": msgspec.json.Decoder(list[SalesOrder]),
    "sales_order_amendments": msgspec.json.Decoder(list[Amendment]),
    "sales_order_cancellations": msgspec.json.Decoder(list[Cancellation]),
    "goods_movements": msgspec.json.Decoder(list[GoodsMovement]),
}
_DECODE_KEYS: Final = msgspec.json.Decoder(list[Name])
_DECODE_ENTRY: Final = msgspec.json.Decoder(Entry)
_DECODE_CHANGE: Final = msgspec.json.Decoder(ChaosChange)
_ENCODER: Final = msgspec.json.Encoder()


class Books:
    """Documents by idempotency key, appended to a file before they are told to anybody."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._end = 0
        self._kept: dict[str, Kept] = {}
        self.by_kind: Counter[str] = Counter()
        self.sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._load(path)

    def _load(self, path: Path) -> None:
        with path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    os.ftruncate(self._file, self._end)  # cut off while it was written, so nobody was told of it
                    break
                entry = _DECODE_ENTRY.decode(line)
                self._keep(entry, line, entry.body)

    def _keep(self, entry: Entry, line: bytes, given: Document) -> None:
        body = entry.body
        self._kept[body.idempotency_key] = Kept(entry.document, digest(given), self._end, len(line))
        self._end += len(line)
        self.by_kind[body.kind] += 1
        if isinstance(body, Journal):
            for each in body.lines:
                self.sums[body.currency][each.account] += each.amount_minor

    @property
    def documents(self) -> int:
        return len(self._kept)

    def post(
        self, bodies: Sequence[Document], held: frozenset[str], distort_minor: int, wrong: Mapping[str, Wrong]
    ) -> list[Result]:
        """One result per document, in their order; new documents are in the file when this returns."""
        start, lines, results = self._end, [], []
        for body in bodies:
            result = self._known(body) or refusal(body, held) or self._early(body)
            if result is None:
                entry = Entry.of(self.documents + 1, distorted(body, distort_minor, wrong))
                lines.append(_ENCODER.encode(entry) + b"\n")
                self._keep(entry, lines[-1], body)
                result = accepted(body, entry.document)
            results.append(result)
        if lines:
            written = os.write(self._file, b"".join(lines))
            if written != self._end - start:
                raise OSError(f"state file took {written} of {self._end - start} bytes")
        return results

    def _known(self, body: Document) -> Result | None:
        kept = self._kept.get(body.idempotency_key)
        if kept is None:
            return None
        if kept.digest != digest(body):
            reason = f"the key already belongs to another document, {document_number(kept.document)}"
            return Result(idempotency_key=body.idempotency_key, status="rejected", reason=reason)
        return accepted(body, kept.document)

    def _early(self, body: Document) -> Result | None:
        """What is told of a sales order waits for it."""
        if not isinstance(body, Amendment | Cancellation) or body.sales_order in self._kept:
            return None
        reason = f"{body.sales_order} is not known"
        return Result(idempotency_key=body.idempotency_key, status="retry", reason=reason)

    def find(self, key: str) -> Entry | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        return _DECODE_ENTRY.decode(os.pread(self._file, kept.length, kept.offset))

    def close(self) -> None:
        os.close(self._file)


def digest(body: Document) -> bytes:
    return hashlib.blake2b(_ENCODER.encode(body), digest_size=12).digest()


def document_number(document: int) -> str:
    return f"ERP-{document:07d}"


def distorted(body: Document, by_minor: int, wrong: Mapping[str, Wrong]) -> Document:
    if not isinstance(body, Journal):
        return body
    match wrong.get(body.idempotency_key):
        case "unbalanced":
            return msgspec.structs.replace(body, lines=body.lines[:-1])
        case "period":
            day = dt.date.fromisoformat(body.business_date) + dt.timedelta(days=31)
            return msgspec.structs.replace(body, business_date=day.isoformat())
        case None if not by_minor:
            return body
    first, *others = body.lines
    misstated = msgspec.structs.replace(first, amount_minor=first.amount_minor + by_minor)
    return msgspec.structs.replace(body, lines=(misstated, *others))


def accepted(body: Document, document: int) -> Result:
    return Result(idempotency_key=body.idempotency_key, status="accepted", document=document_number(document))


def refusal(body: Document, held: frozenset[str]) -> Result | None:
    """Why this document gets no number now: wrong for ever (rejected) or held back (retry)."""
    key = body.idempotency_key
    if not (isinstance(body, Cancellation) or body.lines):
        return Result(idempotency_key=key, status="rejected", reason="the document has no lines")
    if isinstance(body, Journal) and (difference := sum(line.amount_minor for line in body.lines)):
        reason = f"debits and credits differ by {difference} minor units of {body.currency}"
        return Result(idempotency_key=key, status="rejected", reason=reason)
    if body.kind in held:
        return Result(idempotency_key=key, status="retry", reason=f"posting of {body.kind} documents is held")
    return None


class Weather:
    """What the ERP does wrong at this moment; chance comes from the seed, time from the clock."""

    def __init__(self, chaos: Chaos, seed: int, clock: Callable[[], float]) -> None:
        self._chance = random.Random(seed)
        self._clock = clock
        self._down_until = clock() + chaos.down_seconds
        self._next = 0.0  # when the next request is taken, under a limit
        self.under_way = 0
        self.chaos = chaos

    def change(self, change: ChaosChange) -> Chaos:
        given = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}
        self.chaos = msgspec.structs.replace(self.chaos, **given)
        if "down_seconds" in given:
            self._down_until = self._clock() + self.chaos.down_seconds
        return self.chaos

    def refuses(self) -> int | None:
        """The status of a request that is turned away at the door."""
        now = self._clock()
        if now < self._down_until:
            return 503
        if self.chaos.max_concurrent and self.under_way > self.chaos.max_concurrent:
            return 429
        if self.chaos.requests_per_second:
            if now < self._next:
                return 429
            self._next = max(self._next, now) + 1 / self.chaos.requests_per_second
        if self._chance.random() < self.chaos.fail_share:
            return self._chance.choice((429, 503))
        return None

    def loses_answer(self) -> bool:
        return self._chance.random() < self.chaos.lost_share


def problem(status: int, detail: str, retry_after_seconds: int | None = None) -> Response[Any]:
    title = {400: "Bad request", 404: "Not found", 429: "Too many requests", 503: "Unavailable"}[status]
    headers = {} if retry_after_seconds is None else {"Retry-After": str(retry_after_seconds)}
    body = _ENCODER.encode(Problem(title=title, status=status, detail=detail))
    return Response(body, status_code=status, headers=headers, media_type="application/problem+json")


@post([f"/v1/{name}" for name in _DECODE], status_code=200)
async def post_documents(request: Request[Any, Any, State], state: State) -> Response[Any]:
    weather: Weather = state.weather
    weather.under_way += 1
    try:
        if weather.chaos.latency_ms:
            await asyncio.sleep(weather.chaos.latency_ms / 1000)
        return await _answer(request, state, weather)
    finally:
        weather.under_way -= 1


async def _answer(request: Request[Any, Any, State], state: State, weather: Weather) -> Response[Any]:
    chaos = weather.chaos
    if (status := weather.refuses()) is not None:
        state.refused[status] += 1
        return problem(status, "the ERP cannot take documents now", chaos.retry_after_seconds)
    try:
        bodies = _DECODE[request.url.path.rpartition("/")[2]].decode(await request.body())
    except msgspec.DecodeError as error:
        return problem(400, str(error))
    if len(bodies) > MAX_DOCUMENTS:
        return problem(400, f"{len(bodies)} documents in one request, at most {MAX_DOCUMENTS}")
    results = state.books.post(bodies, frozenset(chaos.hold_kinds), chaos.distort_minor, chaos.wrong)
    state.results.update(result.status for result in results)
    if weather.loses_answer():
        state.refused[503] += 1
        return problem(503, "the answer was lost", chaos.retry_after_seconds)
    return Response(Results(results))


@post("/v1/journals/read", status_code=200)
async def read_journals(request: Request[Any, Any, State], state: State) -> Response[Any]:
    """The journals kept under these keys, with their sums by account."""
    try:
        keys = _DECODE_KEYS.decode(await request.body())
    except msgspec.DecodeError as error:
        return problem(400, str(error))
    if len(keys) > MAX_DOCUMENTS:
        return problem(400, f"{len(keys)} keys in one request, at most {MAX_DOCUMENTS}")
    found = [entry for entry in map(state.books.find, keys) if entry is not None]
    return Response({"documents": [_read(entry.document, entry.journal) for entry in found if entry.journal]})


def _read(document: int, journal: Journal) -> dict[str, Any]:
    accounts: Counter[str] = Counter()
    for line in journal.lines:
        accounts[line.account] += line.amount_minor
    return {"idempotency_key": journal.idempotency_key, "document": document_number(document),
            "business_date": journal.business_date, "currency": journal.currency, "accounts": accounts}  # fmt: skip


@get([f"/v1/{name}/{{key:path}}" for name in _DECODE], sync_to_thread=False)
def get_document(key: FromPath[str], state: State) -> Response[Any]:
    entry = state.books.find(key.removeprefix("/"))
    if entry is None:
        return problem(404, f"no document has the idempotency key {key.removeprefix('/')!r}")
    return Response(msgspec.to_builtins(entry) | {"document": document_number(entry.document)})


@get("/v1/stats", sync_to_thread=False)
def get_stats(state: State) -> dict[str, Any]:
    """Documents kept, their sums by currency and account, and what was answered since the start."""
    books: Books = state.books
    return {
        "documents": books.documents,
        "by_kind": dict(books.by_kind),
        "accounts": {currency: dict(sums) for currency, sums in books.sums.items()},
        "answered": dict(state.results),
        "refused": {str(status): count for status, count in state.refused.items()},
        "chaos": state.weather.chaos,
    }


@post("/v1/chaos", status_code=200)
async def post_chaos(request: Request[Any, Any, State], state: State) -> Response[Any]:
    """Change what goes wrong; what the body does not name stays as it is."""
    try:
        change = _DECODE_CHANGE.decode(await request.body())
    except msgspec.DecodeError as error:
        return problem(400, str(error))
    return Response(state.weather.change(change))


@get("/healthz", sync_to_thread=False)
def healthz() -> dict[str, str]:
    return {"status": "ok"}


def create_app(
    state_file: Path, *, chaos: Chaos | None = None, seed: int = 1, clock: Callable[[], float] = time.monotonic
) -> Litestar:
    books = Books(state_file)
    weather = Weather(chaos or Chaos(), seed, clock)
    return Litestar(
        route_handlers=[post_documents, read_journals, get_document, get_stats, post_chaos, healthz],
        state=State({"books": books, "weather": weather, "results": Counter(), "refused": Counter()}),
        on_shutdown=[books.close],
        openapi_config=None,
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tallytrace.erp_stub", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9400)
    parser.add_argument("--state", type=Path, required=True, help="append-only file of accepted documents")
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--fail-share", type=float, default=0, help="share of requests answered 429 or 503")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.supervised:
        end_with_parent()
    chaos = Chaos(latency_ms=given.latency_ms, fail_share=given.fail_share)
    app = create_app(given.state, chaos=chaos, seed=given.seed)
    uvicorn.run(app, host=given.host, port=given.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
