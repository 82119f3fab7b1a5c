"""OTLP as JSON: protobuf's own JSON mapping, save that IDs are hexadecimal (opentelemetry-proto, specification.md)."""

import base64
import binascii
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
    so that only its span is refused. Raises UndecodableRequestError.
    """
    try:
        tree = msgspec.json.decode(body or b"{}", type=dict[str, Any])
        _check_names(tree)
        for owner in _owners_of_ids(tree):
            for name in _IDS:
                if name in owner:
                    owner[name] = base64.b64encode(_bytes_of(owner[name])).decode()
        request = ExportTraceServiceRequest()
        json_format.ParseDict(tree, request, ignore_unknown_fields=True, max_recursion_depth=_MOST_DEEP)
    except (msgspec.DecodeError, json_format.ParseError, RecursionError, TypeError, ValueError) as error:
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


def _check_names(tree: Any) -> None:
    """Raises ValueError for what OTLP forbids and the library would take, or pass over without a word."""
    if isinstance(tree, list):
        for item in tree:
            _check_names(item)
    elif isinstance(tree, dict):
        for name, held in tree.items():
            if name in _SNAKE_CASE:
                raise ValueError(f"{name} is written {_SNAKE_CASE[name]}")
            if name in _ENUMS and isinstance(held, str):
                raise ValueError(f"{name} is a number")
            _check_names(held)


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
