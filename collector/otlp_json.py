"""OTLP as JSON: protobuf's own JSON mapping, save that IDs are hexadecimal (opentelemetry-proto, specification.md)."""

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from collector.errors import UndecodableRequestError

_IDS: Final = ("traceId", "spanId", "parentSpanId")
_MOST_DEEP: Final = 100
_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1
_ENUMS: Final = ("kind", "code")
_SNAKE_CASE: Final = {
    field.name: field.json_name
    for file in (trace_service_pb2, trace_pb2, resource_pb2, common_pb2)
    for message in (*file.DESCRIPTOR.message_types_by_name.values(), *trace_pb2.Span.DESCRIPTOR.nested_types)
    for field in message.fields
    if field.name != field.json_name
}


def decode(body: bytes) -> ExportTraceServiceRequest:
    """The request that the JSON means; unknown fields are ignored. An ID that is not hexadecimal becomes an empty one,
    so that only its span is refused. Half a surrogate pair becomes U+FFFD and a whole number beyond 64 bits a double,
    as their senders' protobuf has them: JavaScript's SDK sends both. Raises UndecodableRequestError.
    """
    try:
        tree = _tree(body or b"{}")
        for owner in _owners_of_ids(tree):
            for name in _IDS:
                if name in owner:
                    owner[name] = base64.b64encode(_bytes_of(owner[name])).decode()
        request = ExportTraceServiceRequest()
        json_format.ParseDict(tree, request, ignore_unknown_fields=True, max_recursion_depth=_MOST_DEEP)
    except (msgspec.DecodeError, json_format.ParseError, RecursionError, TypeError, ValueError, OverflowError) as error:
        raise UndecodableRequestError(f"not an ExportTraceServiceRequest in JSON: {error}") from error
    return request


def status(code: int, message: str) -> bytes:
    """A ``google.rpc.Status``."""
    return msgspec.json.encode({"code": code, "message": message})


def response(rejected_spans: int, message: str) -> bytes:
    """An ExportTraceServiceResponse; 64-bit numbers are text."""
    if not rejected_spans:
        return b"{}"
    return msgspec.json.encode({"partialSuccess": {"rejectedSpans": str(rejected_spans), "errorMessage": message}})


def _tree(body: bytes) -> dict[str, Any]:
    try:
        tree = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        tree = json.loads(body)  # takes half a surrogate pair
        if not isinstance(tree, dict):
            raise
    found: dict[str, Any] = _mended(tree)
    return found


def _mended(held: Any) -> Any:
    """Raises ValueError for what OTLP forbids and the library would take, or pass over without a word."""
    match held:
        case str():
            return held if held.isascii() else held.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_mended(item) for item in held]
        case dict():
            for name in held:
                if name in _SNAKE_CASE:
                    raise ValueError(f"{name} is written {_SNAKE_CASE[name]}")
                if name in _ENUMS and isinstance(held[name], str):
                    raise ValueError(f"{name} is a number")
            if "intValue" in held and not _LEAST <= int(held["intValue"]) <= _MOST:
                return {"doubleValue": float(held["intValue"])}
            return {_mended(name): _mended(item) for name, item in held.items()}
        case _:
            return held


def _owners_of_ids(tree: Any) -> Iterator[dict[str, Any]]:
    """Every span and every link of a request, as far as it has the form of one."""
    for resource in _objects(tree, "resourceSpans"):
        for scope in _objects(resource, "scopeSpans"):
            for span in _objects(scope, "spans"):
                yield span
                yield from _objects(span, "links")


def _objects(owner: Any, name: str) -> list[dict[str, Any]]:
    held = owner.get(name) if isinstance(owner, dict) else None
    return [one for one in held if isinstance(one, dict)] if isinstance(held, list) else []


def _bytes_of(hexadecimal: Any) -> bytes:
    try:
        return binascii.unhexlify(hexadecimal)
    except (binascii.Error, TypeError, ValueError):
        return b""
