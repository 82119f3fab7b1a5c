"""What was measured of promises last, for Prometheus."""

from collections.abc import Callable, Sequence
from typing import Final

from collector.errors import QueryTimeoutError, StorageUnavailableError
from lineage.judge import MILLION, Tally, budget_left, burn
from lineage.model import Sample
from tallytrace.health import Metric

PREFIX: Final = "tallytrace_sla"


def metrics(samples: Callable[[], Sequence[Sample]]) -> list[Metric]:
    """Of the whole of each promise and of its segments; nothing while the store does not answer."""
    try:
        found = samples()
    except (StorageUnavailableError, QueryTimeoutError):
        return []
    return [metric for one in found for metric in _of(one)]


def _of(one: Sample) -> list[Metric]:
    labels = (("sla", one.sla), ("channel", one.channel), ("location", one.location), ("provider", one.provider),
              ("kind", one.kind))  # fmt: skip
    target_ppm = round(one.target * MILLION)
    counts = {"good": one.good, "bad": one.bad, "pending": one.pending, "excused": one.excused, "refused": one.refused}
    gauges = {
        ("overdue_items", "Items past their deadline and still open."): one.overdue_open,
        ("target_ratio", "What is promised."): one.target,
        ("budget_left_ratio", "Share of the bad items allowed that is unspent."): budget_left(
            Tally(good=one.good, bad=one.bad), target_ppm
        ),
        ("burn_rate", "How many times as fast as allowed the budget was spent in the last day."): burn(
            Tally(good=one.recent_good, bad=one.recent_bad), target_ppm
        ),
        ("measured_at_seconds", "Of when the measurement is."): one.as_of.timestamp(),
    }
    return [
        *(
            Metric(f"{PREFIX}_items", "gauge", "Items of the window.", count, (*labels, ("verdict", verdict)))
            for verdict, count in counts.items()
        ),
        *(
            Metric(f"{PREFIX}_{name}", "gauge", meaning, float(value), labels)
            for (name, meaning), value in gauges.items()
            if value is not None
        ),
        *(
            Metric(f"{PREFIX}_at_risk_minor", "gauge", "Value of the overdue items, in minor units.",
                   money.amount_minor, (*labels, ("currency", money.currency)))
            for money in one.at_risk
        ),
        Metric(f"{PREFIX}_state", "gauge", "1 for the state it is in.", 1.0, (*labels, ("state", one.state))),
    ]  # fmt: skip
