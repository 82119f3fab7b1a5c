"""What to look for among transactions, and what is shown of those that were found."""

from datetime import datetime
from typing import Final

from msgspec import Struct

from lineage.model import FoundTransaction, Journey

MOST_LOOKED_AT: Final = 2_000
PAGE: Final = 200
_NEVER: Final = 2**62

_MET: Final = {
    "channel": "channel = {channel:String}",
    "location": "location = {location:String}",
    "provider": "provider = {provider:String}",
    "system": "system = {system:String}",
    "service": "service = {service:String}",
    "hop": "name = {hop:String}",
    "stage": "stage = {stage:String}",
    "outcome": "outcome = {outcome:String}",
    "customer": "customer_ref = {customer:String}",
    "currency": "currency = {currency:String}",
    "amount": "amount_minor BETWEEN {least_minor:Int64} AND {most_minor:Int64}",
    "sku": "(sku = {sku:String} OR has(arrayMap(event -> event.attrs['sku'], events), {sku:String}))",
    "attribute": "attrs[{attribute:String}] = {value:String}",
}
"""By criterion; a column that is named is read, so that only those that are asked for may be."""


class Criteria(Struct, frozen=True, kw_only=True):
    """Each criterion that is not "" must be met by some span; ``kind``, ``state`` and ``owner`` by the whole."""

    since: datetime
    until: datetime
    channel: str = ""
    location: str = ""
    provider: str = ""
    system: str = ""
    service: str = ""
    hop: str = ""
    stage: str = ""
    outcome: str = ""
    customer: str = ""
    currency: str = ""
    sku: str = ""
    attribute: str = ""
    value: str = ""
    least_minor: int | None = None
    most_minor: int | None = None
    kind: str = ""
    state: str = ""
    owner: str = ""
    wrong: str = ""

    after: str = ""  # where the page before ended

    @property
    def place(self) -> tuple[int, str]:
        """The last hop (microseconds) and the identity that the next are older than."""
        at, _, identity = self.after.partition("-")
        return (int(at), identity) if identity else (_NEVER, "")

    @property
    def judged(self) -> bool:
        return bool(self.kind or self.state or self.owner or self.wrong)

    @property
    def conditions(self) -> list[str]:
        """What the store is asked for beside a time: each true of a span that meets a criterion."""
        ranged = self.least_minor is not None or self.most_minor is not None
        return [sql for name, sql in _MET.items() if (ranged if name == "amount" else getattr(self, name))]

    def takes(self, one: FoundTransaction) -> bool:
        asked = ((self.kind, {one.kind}), (self.state, {one.state}), (self.owner, {one.owner}), (self.wrong, one.wrong))
        return all(not want or want in told for want, told in asked)


def cursor(place: tuple[int, str]) -> str:
    return f"{place[0]}-{place[1]}"


def found(journey: Journey) -> FoundTransaction:
    header = journey.header
    return FoundTransaction(
        correlation_id=header.correlation_id,
        origin=header.origin,
        reference=header.reference,
        kind=header.kind,
        state=header.state,
        channel=header.channel,
        location=header.location,
        amount=header.amount,
        started_at=header.started_at,
        last_at=header.last_at,
        owner=header.owner,
        overdue=sum(item.overdue for item in journey.expected),
        wrong=tuple(dict.fromkeys(one.kind for one in journey.findings)),
    )
