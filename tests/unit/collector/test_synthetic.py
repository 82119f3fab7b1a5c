"""The load of the benchmark is what it says: distinct spans that a receiver takes."""

from collections import Counter

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector import otlp, synthetic


def test_every_span_is_distinct_and_taken() -> None:
    bodies = list(synthetic.requests(50, 20))
    assert [otlp.check(body) for body in bodies] == [
        otlp.Checked(body, spans, {}) for body, spans in zip(bodies, [20] * 16 + [10] * 8, strict=True)
    ]
    spans = [
        span
        for body in bodies
        for span in ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
    ]
    assert len({span.span_id for span in spans}) == 400
    assert Counter(len(span.attributes) for span in spans) == {11: 400}
    assert len({span.trace_id for span in spans}) == 200
    per_transaction = Counter(span.attributes[0].value.string_value for span in spans)
    assert set(per_transaction.values()) == {8}
    assert len(per_transaction) == 50
    assert not any(stand_in in body for body in bodies for stand_in in (b"TTTT", b"SSSSSS", b"CCCC", b"EEEE", b"HHHH"))
    amounts = {
        attribute.value.int_value for span in spans for attribute in span.attributes if attribute.key.endswith("minor")
    }
    assert len(amounts) == 50


def test_the_same_seed_makes_the_same_load() -> None:
    assert list(synthetic.requests(8, 4, seed=3)) == list(synthetic.requests(8, 4, seed=3))
    assert list(synthetic.requests(8, 4, seed=3)) != list(synthetic.requests(8, 4, seed=4))
