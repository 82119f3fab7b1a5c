"""A promise that is made of others: the worst of their states, never an average. Pure."""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from lineage.brands import NONE as NO_BRANDS
from lineage.brands import Brands
from lineage.model import Sample
from lineage.samples import WORST_FIRST, definition_of
from lineage.slas import Sla


def derive(sla: Sla, parts: Sequence[Sequence[Sample]], brands: Brands = NO_BRANDS) -> list[Sample]:
    """For each kind and brand that the first promise knows, and the whole: its counts, and the worst of all states.

    What has not been measured says nothing; of a kind that another promise does not know its whole is not taken.
    """
    if not parts or not parts[0]:
        return []
    as_of = max(one.as_of for samples in parts for one in samples)
    known = sorted({(one.kind, one.brand) for one in parts[0] if not (one.channel or one.location or one.provider)})
    return [_of_kind(sla, kind, brand, parts, as_of, brands) for kind, brand in known]


def _of_kind(
    sla: Sla, kind: str, brand: str, parts: Sequence[Sequence[Sample]], as_of: datetime, brands: Brands
) -> Sample:
    same = [
        one for samples in parts for one in samples
        if (one.kind, one.brand) == (kind, brand) and not (one.channel or one.location or one.provider)
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
        definition=definition_of(sla, brand, brands),
    )
