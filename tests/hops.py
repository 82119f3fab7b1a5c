"""Hops as any sender tells them: spans in one export request, and the lineage API that answers about them."""

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
from litestar import Litestar, get
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from collector.framing import varint
from collector.semconv import correlation_id
from collector.storage import Storage
from lineage import flows, slas
from lineage.api import route_handlers
from lineage.model import Journey
from lineage.queries import Queries
from lineage.rows import micros
from lineage.service import Lineage
from tallytrace import webserver

TRACE: Final = b"\x11" * 16

Event = tuple[datetime, str, dict[str, Any]]


def at(text_: str) -> datetime:
    return datetime.fromisoformat(text_).replace(tzinfo=UTC)


def nanos(moment_: datetime) -> int:
    return micros(moment_) * 1000


def attributes(into: Any, values: dict[str, Any]) -> None:
    for key, value in values.items():
        one: KeyValue = into.add(key=key)
        if isinstance(value, int):
            one.value.int_value = value
        else:
            one.value.string_value = value


class Hops:
    """Collects hops and sends them as the core does."""

    def __init__(self) -> None:
        self.request = ExportTraceServiceRequest()
        resource = self.request.resource_spans.add()
        attributes(resource.resource.attributes, {"service.name": "tallytrace-core"})
        self.spans = resource.scope_spans.add().spans

    @staticmethod
    def nanos(when: str) -> int:
        return nanos(at(when))

    def hop(
        self, transaction: bytes, name: str, when: str, entity: str, entity_id: str, milestone: str = "", *,
        origin: str = "uci", channel: str = "trade", location: str = "WH1", amount: int = 0, outcome: str = "ok",
        events: Sequence[tuple[str, dict[str, Any]]] = (), parent: bytes = b"", **also: Any,
    ) -> bytes:  # fmt: skip
        started = at(when)
        number = len(self.spans)
        domain, _, hop = name.partition(".")
        span = self.spans.add(
            trace_id=TRACE, span_id=(number + 1).to_bytes(8, "big"), parent_span_id=parent, name=name,
            start_time_unix_nano=nanos(started), end_time_unix_nano=nanos(started) + 2_000_000,
        )  # fmt: skip
        told = {
            "correlation_id": transaction.hex(), "origin": origin, "domain": domain, "hop": hop, "outcome": outcome,
            "entity": entity, "entity_id": entity_id, "milestone": milestone, "occurred_at": nanos(started),
            "business_date": when[:10], "channel": channel, "location": location, "amount_minor": amount,
            "currency": "GBP", "source": "file", "stage": "erp" if name == "posting.send" else "source",
        }  # fmt: skip
        plain = {key: also.pop(key) for key in [*also] if key == "till"}
        attributes(span.attributes, {f"retail.{key}": value for key, value in (told | also).items()} | plain)
        for kind, values in events:
            event = span.events.add(time_unix_nano=nanos(values.pop("at", started)), name=kind)
            attributes(event.attributes, values)
        return bytes(span.span_id)

    def post(
        self, transaction: bytes, posting: str, when: str, accepted: str = "", amount: int = 0, **also: Any
    ) -> None:
        lines = also.pop("lines", ())
        events = [
            (
                "journal.line",
                {"line_no": number, "account": account, "amount_minor": value, "currency": "GBP", "kind": "goods"},
            )
            for number, (account, value) in enumerate(lines, 1)
        ]
        keys: dict[str, Any] = {"journal_id": f"J/{posting}"}
        self.hop(transaction, "posting.journal", when, "posting", posting, "journaled", amount=amount,
                 stage="transformation", events=events, **keys, **also)  # fmt: skip
        if accepted:
            self.hop(transaction, "posting.send", accepted, "posting", posting, "erp_accepted",
                     erp_document_id=f"ERP/{posting}", **keys, **also)  # fmt: skip

    def order(
        self, reference: str, when: str, amount: int = 10_000, origin: str = "uci", channel: str = "trade"
    ) -> bytes:
        """An order that was shipped and posted two hours later."""
        identity = correlation_id(origin, reference)
        later = f"{at(when) + timedelta(hours=2):%Y-%m-%d %H:%M:%S}"
        same: dict[str, Any] = {"origin": origin, "channel": channel}
        line = {"sku": "22952", "quantity": 24, "amount_minor": amount, "kind": "goods"}
        self.hop(identity, "order.capture", when, "order", reference, "captured", amount=amount, order_id=reference,
                 events=[("line", line)], **same)  # fmt: skip
        self.hop(identity, "inventory.reserve", when, "order", reference, "reserved", stage="transformation", **same)
        self.hop(identity, "order.ship", later, "fulfilment", f"S-{reference}", "shipped", amount=amount,
                 shipment_id=f"S-{reference}", **same)  # fmt: skip
        self.post(identity, f"shipment/S-{reference}", later, later, amount,
                  lines=[("expenses:cost of goods", 500), ("assets:inventory:sellable", -500)], **same)  # fmt: skip
        return identity

    def credit(self, reference: str, when: str, lines: Sequence[tuple[str, int, int, str]]) -> bytes:
        """A credit note with lines of (sku, quantity, amount, order or "" for parked), refunded and posted at once."""
        identity = correlation_id("uci", reference)
        events: list[tuple[str, dict[str, Any]]] = []
        for sku, quantity, amount, order in lines:
            place = {"order_id": order} if order else {"parked": "no_earlier_sale"}
            events.append(("line", {"sku": sku, "quantity": quantity, "amount_minor": amount, "kind": "goods"} | place))
        for order in {order: None for *_, order in lines if order}:
            link = {"from": identity.hex(), "to": correlation_id("uci", order).hex(), "kind": "returns"}
            events.append(("link", link | {"evidence": order, "by": "sync_core"}))
        parked = any(not order for *_, order in lines)
        total = sum(amount for *_, amount, _ in lines)
        paid = sum(amount for *_, amount, order in lines if order)
        self.hop(identity, "return.receive", when, "return", reference, "received", amount=total, events=events,
                 outcome="parked" if parked else "ok", return_id=reference, credit_memo_id=reference)  # fmt: skip
        self.refund(reference, when, when, when, amount=paid, channel="trade")
        return identity

    def link(self, source: str, target: str, kind: str, evidence: str, amount: int = 0) -> tuple[str, dict[str, Any]]:
        ends = {"from": correlation_id("uci", source).hex(), "to": correlation_id("uci", target).hex()}
        money: dict[str, Any] = {"amount_minor": amount, "currency": "GBP"} if amount else {}
        return "link", ends | {"kind": kind, "evidence": evidence, "by": "sync_core"} | money

    def settlement(self, reference: str, when: str, parts: Sequence[tuple[str, str, int]]) -> None:
        """A settlement of (transaction, evidence, amount)."""
        events = [self.link(reference, target, "settles", evidence, amount) for target, evidence, amount in parts]
        self.hop(correlation_id("uci", reference), "settlement.receive", when, "settlement", reference, "received",
                 amount=sum(amount for *_, amount in parts), events=events, settlement_id=reference)  # fmt: skip

    def refund(
        self, reference: str, issued: str, journaled: str = "", accepted: str = "", failed: str = "", *,
        amount: int = 1000, channel: str = "web",
    ) -> None:  # fmt: skip
        identity = correlation_id("uci", reference)
        self.hop(identity, "refund.issue", issued, "refund", reference, "issued", amount=amount, channel=channel,
                 provider="card", refund_id=reference, owner="finance")  # fmt: skip
        if journaled:
            self.post(identity, f"refund/{reference}", journaled, accepted, amount, channel=channel)
        if failed:
            self.hop(identity, "refund.issue", failed, "refund", reference, "failed", channel=channel)

    def scattered(self, parts: int, chance: random.Random) -> Sequence["Hops"]:
        """The same spans in so many parts, in no order."""
        made = [Hops() for _ in range(parts)]
        for span in self.spans:
            chance.choice(made).spans.append(span)
        return made

    def store(self, storage: Storage, directory: Path) -> None:
        """What was told so far, as the collector would insert it."""
        body = self.request.SerializeToString()
        segment = directory / "one.segment"
        segment.write_bytes(varint(len(body)) + body)
        storage.insert_segment(segment)


@get("/healthz", sync_to_thread=False)
def _healthz() -> None:
    """What a command asks before it takes the product to be running."""


@contextlib.contextmanager
def answering(
    storage: Storage,
    clock: Callable[[], datetime],
    port: int,
    overrides: Path | None = None,
    defaults: Path = slas.DEFAULT_SLAS,
) -> Iterator[httpx.Client]:
    """The lineage API with the delivered flows and promises, or with ``overrides`` laid over these."""
    promises = slas.load(overrides, defaults)
    declared = flows.load(promises=promises)
    app = Litestar([_healthz, *route_handlers(Lineage(Queries(storage), declared, promises, clock))])
    with (
        webserver.serving(app, "127.0.0.1", port, name="lineage"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False, verify=False) as client,
    ):
        yield client


def journey_of(http: httpx.Client, any_id: str) -> Journey:
    answer = http.get("/v1/transactions", params={"id": any_id})
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=Journey)
