"""A promise that is made of others: the worst of their states, never an average. Pure."""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from lineage.model import Sample
from lineage.samples import WORST_FIRST
from lineage.slas import Sla


def derive(sla: Sla, parts: Sequence[Sequence[Sample]]) -> list[Sample]:
    """For each kind that the first promise knows, and the whole: its counts, and the worst state of all of them.

    What has not been measured says nothing; of a kind that another promise does not know its whole is not taken.
    """
    if not parts or not parts[0]:
        return []
    as_of = max(one.as_of for samples in parts for one in samples)
    return [
        _of_kind(sla, kind, parts, as_of)
        for kind in sorted({one.kind for one in parts[0] if not (one.channel or one.location or one.provider)})
    ]


def _of_kind(sla: Sla, kind: str, parts: Sequence[Sequence[Sample]], as_of: datetime) -> Sample:
    same = [
        one for samples in parts for one in samples
        if one.kind == kind and not (one.channel or one.location or one.provider)
    ]  # fmt: skip
    worst = min(same, key=lambda one: WORST_FIRST.index(one.state) if one.state != "no_data" else len(WORST_FIRST))
    counts = next(one for one in same if one.sla == sla.of[0])
    return replace(
        counts,
        sla=sla.name,
        as_of=as_of,
        state=worst.state,
        reason=f"{worst.sla}: {worst.reason}",
        at_risk=tuple(max((one.at_risk for one in same), key=lambda money: sum(each.amount_minor for each in money))),
        target=sla.target,
        definition=sla.definition,
    )
