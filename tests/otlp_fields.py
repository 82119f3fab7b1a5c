"""What a sender sent and what is stored, both as plain values, so that they can be compared field by field."""

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from collector.storage import Storage

ROWS = """
    SELECT lower(hex(trace_id)), lower(hex(span_id)), lower(hex(parent_span_id)), trace_state, flags, name, kind,
           toUnixTimestamp64Nano(start_time), toUnixTimestamp64Nano(end_time), status_code, status_message,
           attrs, attr_kinds, dropped_attributes_count, dropped_events_count, dropped_links_count,
           arrayMap(event -> (toUnixTimestamp64Nano(event.at), event.name, event.attrs, event.kinds,
                              event.dropped_attributes_count), events),
           arrayMap(link -> (lower(hex(link.trace_id)), lower(hex(link.span_id)), link.trace_state, link.flags,
                             link.attrs, link.kinds, link.dropped_attributes_count), links),
           resource_attrs, resource_kinds, resource_dropped_attributes_count, resource_schema_url,
           scope_name, scope_version, scope_attrs, scope_kinds, scope_dropped_attributes_count, scope_schema_url
    FROM spans FINAL WHERE service = {service:String} ORDER BY start_time, span_id
"""
NO_ID = "0" * 16


def stored(storage: Storage, service: str) -> list[dict[str, Any]]:
    """Each span of a service; attributes that have a column of their own and service.name are left out."""
    return [_of_row(row) for row in storage.query(ROWS, {"service": service})]


def sent(request: ExportTraceServiceRequest) -> list[dict[str, Any]]:
    """Each span of a request, in the form of `stored`."""
    return [
        _span(span)
        | {
            "resource": _attributes(resource.resource.attributes, without=("service.name",)),
            "resource_dropped": resource.resource.dropped_attributes_count,
            "resource_schema": resource.schema_url,
            "scope": (scope.scope.name, scope.scope.version, _attributes(scope.scope.attributes)),
            "scope_dropped": scope.scope.dropped_attributes_count,
            "scope_schema": scope.schema_url,
        }
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _of_row(row: Sequence[Any]) -> dict[str, Any]:
    (trace, span, parent, state, flags, name, kind, start, end, code, message, attrs, kinds, lost, lost_events,
     lost_links, events, links, resource, resource_kinds, resource_lost, resource_schema, scope_name, scope_version,
     scope, scope_kinds, scope_lost, scope_schema) = row  # fmt: skip
    return {
        "ids": (trace, span, "" if parent == NO_ID else parent),
        "trace_state": state,
        "flags": flags,
        "name": name,
        "kind": kind,
        "times": (start, end),
        "status": (code, message),
        "attributes": _typed(attrs, kinds),
        "dropped": (lost, lost_events, lost_links),
        "events": [(at, named, _typed(texts, of), gone) for at, named, texts, of, gone in events],
        "links": [(to, by, told, bits, _typed(texts, of), gone) for to, by, told, bits, texts, of, gone in links],
        "resource": _typed(resource, resource_kinds),
        "resource_dropped": resource_lost,
        "resource_schema": resource_schema,
        "scope": (scope_name, scope_version, _typed(scope, scope_kinds)),
        "scope_dropped": scope_lost,
        "scope_schema": scope_schema,
    }


def _span(span: Any) -> dict[str, Any]:
    return {
        "ids": (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()),
        "trace_state": span.trace_state,
        "flags": span.flags,
        "name": span.name,
        "kind": span.kind,
        "times": (span.start_time_unix_nano, span.end_time_unix_nano),
        "status": (span.status.code, span.status.message),
        "attributes": {name: value for name, value in _attributes(span.attributes).items() if "retail." not in name},
        "dropped": (span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count),
        "events": [
            (event.time_unix_nano, event.name, _attributes(event.attributes), event.dropped_attributes_count)
            for event in span.events
        ],
        "links": [
            (link.trace_id.hex(), link.span_id.hex(), link.trace_state, link.flags, _attributes(link.attributes),
             link.dropped_attributes_count)
            for link in span.links
        ],
    }  # fmt: skip


def _attributes(attributes: Iterable[KeyValue], without: Sequence[str] = ()) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes if one.key not in without}


def _value(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_value(item) for item in value.array_value.values]
        case "kvlist_value":
            return {member.key: _value(member.value) for member in value.kvlist_value.values}
        case "double_value":
            return _double(value.double_value)
        case which:
            return getattr(value, which)


def _typed(texts: Mapping[str, str], kinds: Sequence[str]) -> dict[str, Any]:
    return {name: _of_text(text, kind) for (name, text), kind in zip(texts.items(), kinds, strict=True)}


def _of_text(text: str, kind: str) -> Any:
    match kind:
        case "none":
            return None
        case "string_value":
            return text
        case "int_value":
            return int(text)
        case "bool_value":
            return {"true": True, "false": False}[text]
        case "double_value":
            return _double(float(text))
        case "bytes_value":
            return base64.b64decode(text)
        case _:
            return json.loads(text) if text[0] in "[{" else _of_bytes(base64.b64decode(text), kind)


def _of_bytes(content: bytes, kind: str) -> Any:
    """What JSON could not say exactly is kept as it was sent."""
    value = AnyValue()
    getattr(value, kind).ParseFromString(content)
    getattr(value, kind).SetInParent()
    return _value(value)


def _double(number: float) -> Any:
    return number if math.isfinite(number) else f"{number}"
