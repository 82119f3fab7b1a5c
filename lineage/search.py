"""What to look for among transactions, and what is shown of those that were found."""

from datetime import datetime
from typing import Final

from msgspec import Struct

from lineage.model import FoundTransaction, Journey

MOST_LOOKED_AT: Final = 2_000
PAGE: Final = 200
_NEVER: Final = 2**62


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
    def conditional(self) -> bool:
        """Whether the store is asked for more than a time."""
        texts = (self.channel, self.location, self.provider, self.system, self.service, self.hop, self.stage,
                 self.outcome, self.customer, self.currency, self.sku, self.attribute)  # fmt: skip
        return any(texts) or self.least_minor is not None or self.most_minor is not None

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
