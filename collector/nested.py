"""Arrays and maps in attributes: told as JSON, so that a column of text holds them and SQL can read them."""

import math
import re
from typing import Any, Final

import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from collector.errors import UndecodableRequestError
from collector.framing import varint

# The field of an AnyValue, then the length of its content and the first field of that content, or no content.
_ARRAY: Final = re.compile(rb"\x2a(\x00|[\x80-\xff]{0,4}[\x01-\x7f](?=\x0a))", re.DOTALL)
_MAP: Final = re.compile(rb"\x32(\x00|[\x80-\xff]{0,4}[\x01-\x7f](?=\x0a))", re.DOTALL)


class _InexactError(Exception):
    """JSON has no way to tell this value from another."""


def may_hold(body: bytes) -> bool:
    """Whether a request may hold arrays or maps: never a wrong no for what senders' encoders write.

    Two searches for bytes cost 0.3 us a span of 400 bytes, a look at each attribute five times as much.
    """
    return any(_fills_its_value(body, found) for pattern in (_ARRAY, _MAP) for found in pattern.finditer(body))


def _fills_its_value(body: bytes, found: re.Match[bytes]) -> bool:
    """Whether before the field stands the tag of an attribute's value, and as length just what the field takes."""
    length = found[1]
    stands = b"\x12" + varint(1 + len(length) + _number(length))
    return body.endswith(stands, 0, found.start())


def _number(encoded: bytes) -> int:
    return sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(encoded))


def as_json(body: bytes) -> bytes:
    """The same request with JSON in place of the content of each array and map that JSON can say exactly.

    Bytes, NaN, infinities and a key that a map has twice it cannot: such a value stays as it was sent. Raises
    UndecodableRequestError.
    """
    request = opaque(body)
    for resource in request.resource_spans:
        _convert(resource.resource.attributes)
        for scope in resource.scope_spans:
            _convert(scope.scope.attributes)
            for span in scope.spans:
                _convert(span.attributes)
                for part in (*span.events, *span.links):
                    _convert(part.attributes)
    encoded: bytes = request.SerializeToString()
    return encoded


def opaque(body: bytes) -> Any:
    """The request, with the content of arrays and maps as bytes. Raises UndecodableRequestError."""
    try:
        return _OPAQUE_REQUEST.FromString(body)
    except DecodeError as error:
        raise UndecodableRequestError(f"not an ExportTraceServiceRequest: {error}") from error


def _convert(attributes: Any) -> None:
    for attribute in attributes:
        value = attribute.value
        match value.WhichOneof("value"):
            case "array_value":
                value.array_value = _told(ArrayValue, value.array_value)
            case "kvlist_value":
                value.kvlist_value = _told(KeyValueList, value.kvlist_value)


def _told(kind: type[ArrayValue] | type[KeyValueList], content: bytes) -> bytes:
    try:
        return msgspec.json.encode(_plain(kind.FromString(content)))
    except (_InexactError, DecodeError):
        return content


def _plain(value: AnyValue | ArrayValue | KeyValueList) -> Any:
    if isinstance(value, ArrayValue):
        return [_plain(item) for item in value.values]
    if isinstance(value, KeyValueList):
        members = {member.key: _plain(member.value) for member in value.values}
        if len(members) < len(value.values):
            raise _InexactError
        return members
    which = value.WhichOneof("value")
    held = getattr(value, which) if which else None
    if isinstance(held, ArrayValue | KeyValueList):
        return _plain(held)
    if isinstance(held, bytes) or (isinstance(held, float) and not math.isfinite(held)):
        raise _InexactError
    return held


def _opaque_request() -> type[Message]:
    """OTLP's own messages, but for the content of arrays and maps."""
    pool = descriptor_pool.DescriptorPool()
    for module in (common_pb2, resource_pb2, trace_pb2, trace_service_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        for message in file.message_type:
            for field in message.field:
                if message.name == "AnyValue" and field.name in ("array_value", "kvlist_value"):
                    field.type = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
                    field.ClearField("type_name")
        pool.Add(file)
    name = trace_service_pb2.ExportTraceServiceRequest.DESCRIPTOR.full_name
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


_OPAQUE_REQUEST: Final[Any] = _opaque_request()
