from litestar import Litestar
from litestar.testing import TestClient

from tallytrace.health import PROMETHEUS, Metric, exposition, handlers


def test_a_process_that_waits_is_alive_but_not_ready() -> None:
    waiting = ["ClickHouse does not answer"]
    with TestClient(Litestar(handlers(lambda: waiting, lambda: []))) as client:
        assert client.get("/healthz").status_code == 200
        not_ready = client.get("/readyz")
        assert (not_ready.status_code, not_ready.json()) == (503, {"ready": False, "waiting_for": waiting})
        waiting.clear()
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"ready": True, "waiting_for": []})


def test_figures_in_prometheus_text_format() -> None:
    metrics = [
        Metric("t_open_bytes", "gauge", "Bytes not inserted yet.", 12.0),
        Metric("t_spans_total", "counter", "Spans.", 3, (("service", 'a"b\\c\nd'), ("channel", "web"))),
        Metric("t_spans_total", "counter", "Spans.", 4),
    ]
    text = (
        "# HELP t_open_bytes Bytes not inserted yet.\n"
        "# TYPE t_open_bytes gauge\n"
        "t_open_bytes 12.0\n"
        "# HELP t_spans_total Spans.\n"
        "# TYPE t_spans_total counter\n"
        't_spans_total{channel="web",service="a\\"b\\\\c\\nd"} 3\n'
        "t_spans_total 4\n"
    )
    assert exposition(metrics) == text
    with TestClient(Litestar(handlers(lambda: [], lambda: metrics))) as client:
        answer = client.get("/metrics")
        assert (answer.headers["content-type"], answer.text) == (f"{PROMETHEUS}; charset=utf-8", text)
