"""The SDKs of OpenTelemetry, unmodified, as others use them: every field that they send comes back as it was sent."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from pprint import pformat
from typing import Any, Final

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from collector import grpc_receiver, receiver
from collector.intake import Intake
from collector.segments import SegmentLog
from collector.semconv import correlation_id
from collector.storage import Storage
from tallytrace import webserver
from tests.hops import Hops, answering, journey_of
from tests.otlp_fields import stored
from tests.unit.collector.spans import START

SENDERS: Final = Path(__file__).parent.parent / "senders"
OWN_COLUMNS: Final = "SELECT keys, amount_minor FROM spans FINAL WHERE service = {service:String} AND status_code = 2"


@pytest.fixture(scope="module")
def grpc(log: SegmentLog) -> Iterator[str]:
    with grpc_receiver.serving(Intake(log), "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def http(log: SegmentLog, free_port: Callable[[], int]) -> Iterator[str]:
    port = free_port()
    with webserver.serving(receiver.create_app(log, Intake(log)), "127.0.0.1", port, name="collector"):
        yield f"http://127.0.0.1:{port}/v1/traces"


def exactly(spans: list[dict[str, Any]]) -> str:
    """As text, because Python holds 1, 1.0 and True for equal."""
    return pformat(spans, width=120)


# --- JavaScript ---

PINNED: Final = json.loads((SENDERS / "package.json").read_bytes())["dependencies"]
CALLER: Final = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
TRACE_STATE: Final = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
DROPPED: Final = (
    "Dropped 1 events because eventCountLimit reached\n"
    "Dropped 1 links because linkCountLimit reached\n"
)  # fmt: skip


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the senders and the packages that they need."""
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not on PATH: {' and '.join(missing)}")
    directory = tmp_path_factory.mktemp("senders")
    for name in ("package.json", "package-lock.json", "send.mjs", "hop.mjs"):
        shutil.copy(SENDERS / name, directory)
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(install, cwd=directory, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return directory


def test_the_lock_file_names_no_host() -> None:
    assert "://" not in (SENDERS / "package-lock.json").read_text(encoding="utf-8")


def of_javascript(kind: str, ids: dict[str, str]) -> list[dict[str, Any]]:
    trace_id, caller = CALLER
    shared = {
        "trace_state": TRACE_STATE,
        "resource": {
            "host.cores": 4,
            "process.args": ["--till", "7"],
            "every byte": bytes(range(256)),
            "no bytes": b"",
            "map": {
                "text": "\u00a3", "number": -1, "members": {"flag": False, "nothing": None}, "items": [1, "two", 3.5],
            },
            "no members": {},
            "bytes inside": [b"\x00\xff"],
            "telemetry.sdk.language": "nodejs",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.version": PINNED["@opentelemetry/sdk-trace-base"],
        },
        "resource_dropped": 0,
        "resource_schema": "https://example.org/resource/1",
        "scope": ("till", "1.2", {}),
        "scope_dropped": 0,
        "scope_schema": "https://example.org/scope/2",
    }  # fmt: skip
    outer = {
        "ids": (trace_id, ids["outer"], caller),
        "flags": 0x301,
        "name": "order.capture \u00a3",
        "kind": Span.SPAN_KIND_SERVER,
        "times": (START, START + 5_000_000_001),
        "status": (2, "it \u00a3ailed"),
        "attributes": {
            "text": '\u00a3 \u6f22 \U0001f9fe "\\\n\0',
            "empty": "",
            "looks like json": '[1, "2"]',
            "yes": True,
            "no": False,
            "zero": 0,
            "negative": -7,
            "above 2^31": 2**31 + 1,
            "most exact": 2**53 - 1,
            "above 2^53": 10**18,
            "half": 0.5,
            "tiny": 5e-324,
            "texts": ["a", "\u00a3", "", None],
            "numbers": [1, -2.5, 2**40],
            "flags": [True, False],
            "no items": [],
            "nothing inside": [None],
            "long": [f"item {place}" for place in range(3_000)],
            "last": "is kept",
        },
        "dropped": (2, 1, 1),
        "events": [
            (1_795_230_751_999_999_999, "", {}, 0),
            (1_795_230_753_000_000_001, "noted", {"count": 3, "some \u00a3": [0.25]}, 1),
        ],
        "links": [
            ("ff" * 16, "02" * 8, "", 0x100, {}, 0),
            (trace_id, "03" * 8, "c=3", 0x301, {"why": ["batch", "\u00a3"]}, 1),
        ],
    }
    odd = {"nan": "nan", "infinite": "-inf", "least": -(2**63), "above 2^63": 2.0**63}
    inner = {
        "ids": (trace_id, ids["inner"], ids["outer"]),
        "flags": 0x101,
        "name": "inner",
        "kind": Span.SPAN_KIND_CLIENT,
        "times": (START + 1, 1_795_230_752_000_000_000),
        "status": (1, ""),
        "attributes": {"nan": None, "infinite": None} if kind == "http" else odd,  # JSON: the SDK writes null
        "dropped": (0, 0, 0),
        "events": [],
        "links": [],
    }
    return [outer | shared, inner | shared]


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("kind", ["proto", "http", "grpc"])
def test_every_field_that_the_javascript_sdk_sends_comes_back(
    storage: Storage, log: SegmentLog, grpc: str, http: str, node: Path, kind: str, compression: str
) -> None:
    service = f"javascript {kind} {compression}"
    done = subprocess.run(
        ["node", "send.mjs", kind, compression, grpc if kind == "grpc" else http, service],
        cwd=node, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, DROPPED)
    assert log.wait_stored(30)
    assert exactly(stored(storage, service)) == exactly(of_javascript(kind, json.loads(done.stdout)))
    assert storage.query(OWN_COLUMNS, {"service": service}) == [({"order_id": "1001"}, -1320)]


# --- Python ---


def by_grpc(grpc: str, http: str) -> SpanExporter:
    return GrpcExporter(endpoint=grpc, insecure=True)


def by_http(grpc: str, http: str) -> SpanExporter:
    return HttpExporter(endpoint=http)


def by_gzip(grpc: str, http: str) -> SpanExporter:
    return HttpExporter(endpoint=http, compression=Compression.Gzip)


def by_deflate(grpc: str, http: str) -> SpanExporter:
    return HttpExporter(endpoint=http, compression=Compression.Deflate)


VALUES: Final[dict[str, Any]] = {
    "text": '\u00a3 \u6f22 \U0001f9fe "\\\n\0',
    "empty": "",
    "looks like json": '[1, "2"]',
    "yes": True,
    "no": False,
    "zero": 0,
    "least": -(2**63),
    "most": 2**63 - 1,
    "one": 1.0,
    "tiny": 5e-324,
    "bytes": b"\x00\xff",
    "no bytes": b"",
    "nothing": None,
    "texts": ["a", "\u00a3", ""],
    "mixed": [1, 1.0, True, "a", None],
    "no items": [],
    "map": {"a": "x", "b": {"c": [False]}},
    "no members": {},
    "bytes inside": {"a": [b"\x00\xff"]},
}


def send_from_python(exporter: SpanExporter, service: str) -> tuple[SpanContext, SpanContext]:
    """The contexts of the two spans that it sends."""
    limits = SpanLimits(
        max_span_attributes=len(VALUES) + 2, max_events=2, max_links=1, max_event_attributes=1, max_link_attributes=1
    )
    resource = Resource({"service.name": service, **VALUES}, "https://example.org/resource/1")
    provider = TracerProvider(resource=resource, span_limits=limits)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("till", "1.2", "https://example.org/scope/2", VALUES)
    linked = SpanContext(2**127 + 5, 2**63 + 7, is_remote=True, trace_flags=TraceFlags(1))
    caller = SpanContext(5, 7, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("a", "1")]))
    outer = tracer.start_span(
        "order.capture \u00a3",
        trace.set_span_in_context(NonRecordingSpan(caller)),
        kind=SpanKind.SERVER,
        attributes={"over the limit": 1, "retail.order_id": "1001", "retail.amount_minor": -1320, **VALUES},
        links=[Link(caller), Link(linked, {"over the limit": 1, "why": ["batch"]})],
        start_time=START,
    )
    outer.add_event("over the limit")
    outer.add_event("", timestamp=START + 1)
    outer.add_event("noted", {"over the limit": 1, "map": VALUES}, timestamp=START + 2)
    outer.set_status(Status(StatusCode.ERROR, "it \u00a3ailed"))
    inner = tracer.start_span("inner", trace.set_span_in_context(outer), kind=SpanKind.PRODUCER, start_time=START + 3)
    inner.end(START + 4)
    outer.end(START + 5_000_000_001)
    provider.shutdown()
    return outer.get_span_context(), inner.get_span_context()


def of_python(outer_id: str, inner_id: str) -> list[dict[str, Any]]:
    trace_id = f"{5:032x}"
    shared = {
        "trace_state": "a=1",
        "resource": VALUES,
        "resource_dropped": 0,
        "resource_schema": "https://example.org/resource/1",
        "scope": ("till", "1.2", VALUES),
        "scope_dropped": 0,
        "scope_schema": "https://example.org/scope/2",
    }
    outer = {
        "ids": (trace_id, outer_id, f"{7:016x}"),
        "flags": 0x300,
        "name": "order.capture \u00a3",
        "kind": Span.SPAN_KIND_SERVER,
        "times": (START, START + 5_000_000_001),
        "status": (2, "it \u00a3ailed"),
        "attributes": VALUES,
        "dropped": (1, 1, 1),
        "events": [(START + 1, "", {}, 0), (START + 2, "noted", {"map": VALUES}, 1)],
        "links": [(f"{2**127 + 5:032x}", f"{2**63 + 7:016x}", "", 0x300, {"why": ["batch"]}, 1)],
    }
    inner = {
        "ids": (trace_id, inner_id, outer_id),
        "flags": 0x100,
        "name": "inner",
        "kind": Span.SPAN_KIND_PRODUCER,
        "times": (START + 3, START + 4),
        "status": (0, ""),
        "attributes": {},
        "dropped": (0, 0, 0),
        "events": [],
        "links": [],
    }
    return [outer | shared, inner | shared]


@pytest.mark.parametrize("exporter", [by_grpc, by_http, by_gzip, by_deflate])
def test_every_field_that_the_python_sdk_sends_comes_back(
    storage: Storage, log: SegmentLog, grpc: str, http: str, exporter: Callable[[str, str], SpanExporter]
) -> None:
    service = f"python {exporter.__name__}"
    outer, inner = send_from_python(exporter(grpc, http), service)
    assert log.wait_stored(30)
    expected = of_python(trace.format_span_id(outer.span_id), trace.format_span_id(inner.span_id))
    assert exactly(stored(storage, service)) == exactly(expected)
    assert storage.query(OWN_COLUMNS, {"service": service}) == [({"order_id": "1001"}, -1320)]


# --- in one journey with our own ---


def retail(domain: str, entity_id: str, milestone: str, **also: str) -> dict[str, str]:
    """What the README asks of a span that is to be part of a story: the order 5151 of the storefront."""
    told = {"correlation_id": correlation_id("storefront", "5151").hex(), "origin": "storefront", "domain": domain}
    step = {"hop": milestone, "stage": "source", "outcome": "ok", "entity": domain, "entity_id": entity_id}
    return {f"retail.{name}": value for name, value in (told | step | {"milestone": milestone} | also).items()}


def hop_from_python(endpoint: str, service: str, name: str, attributes: dict[str, str]) -> None:
    provider = TracerProvider(resource=Resource({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(HttpExporter(endpoint=endpoint)))
    provider.get_tracer("wms").start_span(name, attributes=attributes).end()
    provider.shutdown()


@pytest.mark.proves(207, 209)
def test_spans_of_foreign_services_stand_in_the_same_journey_as_our_own(
    node: Path, http: str, storage: Storage, log: SegmentLog, free_port: Callable[[], int]
) -> None:
    own = Hops()
    now = datetime.now(UTC)
    when = f"{now - timedelta(hours=2):%Y-%m-%d %H:%M:%S}"
    identity = correlation_id("storefront", "5151")
    for name, milestone in (("order.capture", "captured"), ("inventory.reserve", "reserved")):
        own.hop(identity, name, when, "order", "5151", milestone, origin="storefront", amount=4500, order_id="5151")
    log.append(own.request.SerializeToString()).result(10)
    checked = json.dumps(retail("order", "5151", "validated", order_id="5151"))
    command = ["node", "hop.mjs", http, "storefront", "order.validate", checked]
    done = subprocess.run(command, cwd=node, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    shipped = retail("fulfilment", "SH-5151", "shipped", shipment_id="SH-5151", tracking_id="TRK 77", location="WH9")
    hop_from_python(http, "warehouse", "order.ship", shipped)
    assert log.wait_stored(30)
    with answering(storage, lambda: now + timedelta(hours=2), free_port()) as client:
        told = journey_of(client, "TRK 77")
        assert [(hop.service, hop.milestone) for hop in told.hops] == [
            ("tallytrace-core", "captured"), ("tallytrace-core", "reserved"), ("storefront", "validated"),
            ("warehouse", "shipped"),
        ]  # fmt: skip
        assert (told.header.reference, told.header.state) == ("5151", "shipped")
        assert [(item.step, item.entity_id, item.overdue) for item in told.expected] == [
            ("shipment-journaled", "shipment/SH-5151", True)
        ], "what a foreign hop begins is expected like our own"
        trace_view = client.get(f"/v1/traces/{done.stdout.strip()}").json()
        assert [span["name"] for span in trace_view["spans"]] == ["order.validate", "GET /checkout"]
