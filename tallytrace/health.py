"""What a process says about itself: alive, ready, and its figures for Prometheus."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

from litestar import MediaType, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE
from msgspec import Struct

PROMETHEUS: Final = "text/plain; version=0.0.4"


class Metric(Struct, frozen=True):
    """One figure. ``name`` carries its unit, ``labels`` are sorted by the writer."""

    name: str
    kind: Literal["counter", "gauge"]
    meaning: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


class Readiness(Struct, frozen=True):
    ready: bool
    waiting_for: tuple[str, ...]


def handlers(
    waiting_for: Callable[[], Sequence[str]], metrics: Callable[[], Iterable[Metric]]
) -> list[HTTPRouteHandler]:
    """`waiting_for`: what keeps the process from working, in words; empty when it can."""

    @get("/healthz", sync_to_thread=False, tags=["operation"])
    def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @get("/readyz", sync_to_thread=True, tags=["operation"])
    def readyz() -> Response[Readiness]:
        waiting = tuple(waiting_for())
        return Response(
            Readiness(not waiting, waiting), status_code=HTTP_503_SERVICE_UNAVAILABLE if waiting else HTTP_200_OK
        )

    @get("/metrics", sync_to_thread=True, media_type=MediaType.TEXT, include_in_schema=False)
    def prometheus() -> Response[str]:
        return Response(exposition(metrics()), media_type=PROMETHEUS)

    return [healthz, readyz, prometheus]


def exposition(metrics: Iterable[Metric]) -> str:
    """Prometheus' text format; metrics of one name stand together."""
    families: dict[str, list[Metric]] = {}
    for metric in metrics:
        families.setdefault(metric.name, []).append(metric)
    lines = []
    for name, family in families.items():
        lines += [f"# HELP {name} {family[0].meaning}", f"# TYPE {name} {family[0].kind}"]
        lines += [f"{name}{_labels(metric)} {metric.value!r}" for metric in family]
    return "\n".join([*lines, ""])


def _labels(metric: Metric) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(metric.labels))
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
