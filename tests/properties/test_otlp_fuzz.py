"""Whatever is sent, the collector answers in time, never with a fault of its own, and goes on storing the rest."""

import contextlib
import gzip
import http.client
import json
import math
import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector import otlp, receiver
from collector.compression import zstd_compress
from collector.intake import Intake
from collector.segments import SegmentLog
from collector.storage import Storage
from tallytrace import webserver
from tests.integration.test_otlp_fields import everything
from tests.unit.collector.spans import request, span

ALLOWED: Final = {200, 400, 413, 415}
MOST_GROWTH: Final = 200 << 20
"""In bytes of memory over the second half of the inputs, the embedded engine included, whose caches are then filled."""

REAL: Final = [
    request(*(span(number, {"order_id": f"{number}", "amount_minor": -number, "x.flag": True, "x.part": 0.5},
                   events=[("journal.line", {"line_no": 1})]) for number in range(1, 6))),
    everything("fuzzed").SerializeToString(),
    b"",
]  # fmt: skip
IN_JSON: Final = [
    json.dumps(json_format.MessageToDict(ExportTraceServiceRequest.FromString(one))).encode() for one in REAL
]
COMPRESSED: Final[list[tuple[str, Callable[[bytes], bytes]]]] = [
    ("identity", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstd_compress)
]  # fmt: skip


class Sender:
    """One connection that notes what it is answered."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.told: Counter[int] = Counter()

    def close(self) -> None:
        self._connection.close()

    def send(self, body: bytes, content_type: str, encoding: str = "identity") -> int:
        headers = {"Content-Type": content_type, "Content-Encoding": encoding}
        self._connection.request("POST", "/v1/traces", body, headers)
        answer = self._connection.getresponse()
        answer.read()
        self.told[answer.status] += 1
        assert answer.status in ALLOWED, (answer.status, content_type, encoding, body[:2_000])
        return answer.status


@pytest.fixture
def log(storage: Storage, tmp_path: Path) -> Iterator[SegmentLog]:
    with SegmentLog(tmp_path / "log", storage.insert_segment, otlp.normalised) as made:
        yield made


@pytest.fixture
def sender(log: SegmentLog, free_port: Callable[[], int]) -> Iterator[Sender]:
    port = free_port()
    app = receiver.create_app(log, Intake(log))
    with webserver.serving(app, "127.0.0.1", port, name="collector"), contextlib.closing(Sender(port)) as one:
        yield one


def mutated(body: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, cut out, doubled, or moved in from elsewhere."""
    changed = bytearray(body)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(changed) + 1)
        length = min(len(changed) - at, chance.choice((1, 1, 2, 4, 16, 200)))
        match chance.randrange(6):
            case 0 if length:
                changed[at] ^= 1 << chance.randrange(8)
            case 1 if length:
                changed[at] = chance.choice((0, 1, 2, 0x12, 0x1A, 0x2A, 0x32, 0x7F, 0x80, 0xFF))
            case 2:
                del changed[at : at + length]
            case 3:
                changed[at:at] = changed[at : at + length]
            case 4:
                changed[at:at] = chance.randbytes(length)
            case _:
                other = chance.choice(REAL)
                start = chance.randrange(len(other) + 1)
                changed[at : at + length] = other[start : start + length]
    return bytes(changed)


@pytest.mark.parametrize("inputs", [1_500, pytest.param(100_000, marks=pytest.mark.long)])
def test_mutated_requests_are_answered_and_what_was_taken_is_stored_or_set_aside(
    storage: Storage, log: SegmentLog, sender: Sender, inputs: int
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)
    for number in range(inputs):
        in_json = number % 4 == 3
        body = mutated(chance.choice(IN_JSON if in_json else REAL), chance)
        encoding, compress = COMPRESSED[chance.randrange(4) if number % 5 == 0 else 0]
        packed = compress(body)
        packed = mutated(packed, chance) if encoding != "identity" and number % 2 else packed
        sender.send(packed, "application/json" if in_json else otlp.PROTOBUF, encoding)
        if number == inputs // 2:
            assert log.wait_stored(60)
            before = psutil.Process().memory_info().rss
    assert sender.send(request(span(1, name=f"after {seed}")), otlp.PROTOBUF) == 200
    assert log.wait_stored(600), f"seed {seed}"
    counters = log.counters()
    assert counters.trouble == ""
    assert counters.stored_requests + counters.set_aside_requests == counters.accepted_requests, f"seed {seed}"
    assert counters.accepted_requests > inputs // 50
    found = storage.query("SELECT count() FROM spans FINAL WHERE name = {name:String}", {"name": f"after {seed}"})
    assert found == [(1,)], f"seed {seed}"
    assert psutil.Process().memory_info().rss - before < MOST_GROWTH, f"seed {seed}"


TEXT = st.text(max_size=8)
TREES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["resourceSpans", "resource", "scopeSpans", "scope", "spans", "traceId", "spanId", "attributes",
                         "key", "value", "arrayValue", "kvlistValue", "values", "intValue", "events", "links", "kind",
                         "status", "code", "startTimeUnixNano", "flags"]) | TEXT,
        inner, max_size=5),
    max_leaves=30,
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES, body=st.binary(max_size=300))
@example(tree={"intValue": math.inf}, body=b'{"intValue": 1e999}')
@example(tree={"intValue": 10**400}, body=b'{"intValue": NaN}')
def test_any_json_and_any_bytes_are_answered(sender: Sender, tree: Any, body: bytes) -> None:
    spans = {"resourceSpans": [{"scopeSpans": [{"spans": tree if isinstance(tree, list) else [tree]}]}]}
    for content in (tree, spans):
        sender.send(json.dumps(content).encode(), "application/json")
    for content_type in (otlp.PROTOBUF, "application/json"):
        sender.send(body, content_type)
