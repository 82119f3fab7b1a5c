"""Promises in the form of OpenSLO v1: definitions for other tools, with what was measured last as annotations. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from lineage.model import SlaTile
from lineage.slas import Sla

PREFIX: Final = "tallytrace/"
_PERIODS: Final = {"week": "1w", "month": "1M", "quarter": "1Q", "year": "1Y"}


def yaml(slas: Iterable[Sla], tiles: Iterable[SlaTile]) -> str:
    """One document for each promise; each is JSON, which is YAML."""
    measured = {tile.name: tile for tile in tiles}
    return "".join(
        f"---\n{msgspec.json.format(msgspec.json.encode(_document(sla, measured[sla.name])), indent=2).decode()}\n"
        for sla in slas
    )


def _document(sla: Sla, tile: SlaTile) -> dict[str, Any]:
    name = sla.name.replace("_", "-")
    return {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {
            "name": name,
            "displayName": sla.title,
            "labels": {"owner": sla.owner, "severity": sla.severity},
            "annotations": dict(_annotations(sla, tile)),
        },
        "spec": {
            "description": f"{sla.description} {sla.rule()}",
            "service": sla.owner.replace(" ", "-"),
            "indicator": {
                "metadata": {"name": f"{name}-ratio"},
                "spec": {
                    "ratioMetric": {
                        "counter": False,
                        "good": _source(sla, 'verdict="good"'),
                        "total": _source(sla, 'verdict=~"good|bad"'),
                    }
                },
            },
            "timeWindow": [_window(sla, tile)],
            "budgetingMethod": "Occurrences",
            "objectives": [{"displayName": sla.unit, "target": sla.target}],
        },
    }


def _annotations(sla: Sla, tile: SlaTile) -> Iterator[tuple[str, str]]:
    figures = ("good", "bad", "pending", "excused", "refused", "overdue_open", "state")
    yield from ((f"{PREFIX}{figure}", str(getattr(tile, figure))) for figure in figures)
    yield f"{PREFIX}value", "" if tile.value is None else repr(tile.value)
    yield f"{PREFIX}as_of", tile.as_of.isoformat() if tile.as_of else ""
    yield f"{PREFIX}at_risk", ", ".join(map(str, tile.at_risk))
    yield f"{PREFIX}definition", sla.definition


def _source(sla: Sla, verdict: str) -> dict[str, Any]:
    whole = f'sla="{sla.name}",channel="",location="",provider="",kind="",{verdict}'
    return {"metricSource": {"type": "Prometheus", "spec": {"query": f"sum(tallytrace_sla_items{{{whole}}})"}}}


def _window(sla: Sla, tile: SlaTile) -> dict[str, Any]:
    if sla.period is None:
        return {"duration": f"{sla.window_days}d", "isRolling": True}
    begins = f"{tile.window_start:%Y-%m-%d %H:%M:%S}" if tile.window_start else "1970-01-01 00:00:00"
    calendar = {"startTime": begins, "timeZone": "UTC"}
    return {"duration": _PERIODS[sla.period], "isRolling": False, "calendar": calendar}
