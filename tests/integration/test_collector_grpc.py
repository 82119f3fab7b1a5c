"""OTLP over gRPC through a real channel."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector import grpc_receiver, otlp
from collector.intake import Intake
from collector.segments import SegmentLog
from collector.storage import Storage, StorageUnavailableError
from tests.unit.collector.spans import request, span

METHOD = f"/{grpc_receiver.SERVICE}/Export"
STORED = "SELECT count() FROM spans FINAL WHERE service = {service:String}"
MAX_BODY_BYTES = 100_000


@pytest.fixture(scope="module")
def address(log: SegmentLog) -> Iterator[str]:
    with grpc_receiver.serving(Intake(log, max_body_bytes=MAX_BODY_BYTES), "127.0.0.1", 0) as port:
        yield f"127.0.0.1:{port}"


def export(address: str, body: bytes) -> bytes:
    with grpc.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(METHOD)
        answer: bytes = call(body, timeout=30)
        return answer


def refusal(address: str, body: bytes) -> tuple[grpc.StatusCode, dict[str, Any]]:
    with pytest.raises(grpc.RpcError) as caught:
        export(address, body)
    metadata: Any = caught.value.trailing_metadata() or ()
    return caught.value.code(), dict(metadata)


def test_what_is_acknowledged_is_stored_and_what_can_never_be_is_counted(
    storage: Storage, log: SegmentLog, address: str
) -> None:
    assert export(address, request(span(1), span(2), service="plain")) == b""
    answer = export(address, request(span(3), span(4, trace_id=b""), service="partly"))
    assert ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans == 1
    assert export(address, b"") == b""
    assert log.wait_stored(30)
    assert [storage.query(STORED, {"service": name}) for name in ("plain", "partly")] == [[(2,)], [(1,)]]


def test_what_cannot_be_read_or_is_too_large_may_not_be_sent_again(address: str) -> None:
    code, metadata = refusal(address, b"zzz")
    assert (code, "grpc-status-details-bin" in metadata) == (grpc.StatusCode.INVALID_ARGUMENT, False)
    code, metadata = refusal(address, bytes(MAX_BODY_BYTES + 1))
    assert (code, "grpc-status-details-bin" in metadata) == (grpc.StatusCode.RESOURCE_EXHAUSTED, False)


@pytest.mark.parametrize("options", [{"max_backlog_bytes": 1}, {}])
def test_who_must_wait_is_told_when_to_come_again(tmp_path: Path, options: dict[str, Any]) -> None:
    def away(path: Path) -> None:
        raise StorageUnavailableError("nobody answers")

    log = SegmentLog(tmp_path / "log", away, otlp.normalised, **options)
    try:
        taken = Intake(log, max_requests=0 if not options else 9)
        with grpc_receiver.serving(taken, "127.0.0.1", 0) as port:
            code, metadata = refusal(f"127.0.0.1:{port}", request(span(1)))
        assert code == grpc.StatusCode.UNAVAILABLE
        assert b"google.rpc.RetryInfo\x12\x04\x0a\x02\x08\x01" in metadata["grpc-status-details-bin"]
    finally:
        log.close(drain_seconds=0)


def test_a_port_that_is_taken_is_told(log: SegmentLog, address: str) -> None:
    port = int(address.rpartition(":")[2])
    with (
        pytest.raises(grpc_receiver.NotBoundError, match="is the port taken"),
        grpc_receiver.serving(Intake(log), "127.0.0.1", port),
    ):
        pass
