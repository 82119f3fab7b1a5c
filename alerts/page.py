"""What a person is told: what, why, since when, how much money, whose, the next step, and where to look."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from msgspec import Struct

from alerts.incident import Transition
from alerts.rule import Severity
from lineage.model import Money, OverdueItem

ASKING: Final = frozenset({"page", "update", "escalate", "remind"})
PLACES_NAMED: Final = 5
EPOCH_FORMAT: Final = "%Y-%m-%d %H:%M:%S"


class Alert(Struct, frozen=True, kw_only=True):
    """One time that a rule fired for one place. ``told`` is the owner whose contacts are written to.

    ``incident_id`` is the dedup key under which it is told together with others; "" when it never is, and ``hidden``
    says why. ``announced``: a message has named it.
    """

    alert_id: str
    rule: str
    sla: str
    domain: str
    level: str
    channel: str
    location: str
    provider: str
    subject: str
    owner: str
    told: str
    told_because: str
    severity: str
    summary: str
    reason: str
    next_step: str
    link: str
    overdue_open: int
    at_risk: tuple[Money, ...]
    oldest_due_at: datetime | None
    opened_at: datetime
    resolved_at: datetime | None = None
    resolved_reason: str = ""
    incident_id: str = ""
    hidden: str = ""
    announced: bool = False

    @property
    def place(self) -> str:
        """In words."""
        if self.level == "promise":
            return self.sla
        return "/".join(filter(None, (self.subject, self.channel, self.location, self.provider)))


class PageItem(Struct, frozen=True, kw_only=True):
    title: str
    entity_id: str
    owner: str
    due_at: datetime
    amount: Money | None
    reason: str
    link: str


class Page(Struct, frozen=True, kw_only=True):
    """The body of a message. ``text`` says all of it in words; the other fields are for machines."""

    dedup_key: str
    transition: Transition
    rule: str
    severity: Severity
    owner: str
    owner_title: str
    told_because: str
    channel: str
    what: str
    why: str
    since: datetime  # the oldest missed deadline
    at: datetime
    overdue_open: int
    at_risk: tuple[Money, ...]
    items: tuple[PageItem, ...]
    next_step: str
    link: str
    text: str
    alerts: int = 1
    acknowledge: str = ""  # the address of a form, while it fires
    by: str = ""  # who acknowledged it
    note: str = ""


def page(
    alerts: Sequence[Alert],
    *,
    transition: Transition,
    owner_title: str,
    why: str,
    items: Sequence[OverdueItem],
    public_url: str,
    zone: str,
    now: datetime,
    told_because: str = "",
    dedup_key: str = "",
    by: str = "",
    note: str = "",
) -> Page:
    """Of one alert or of several of one incident, the first giving its words. ``zone`` is the owner's."""
    first = alerts[0]
    since = min((one.oldest_due_at or one.opened_at for one in alerts), default=now)
    what = f"{first.summary}: {places(alerts)}"
    at_risk = summed(money for one in alerts for money in one.at_risk)
    next_step = "none" if transition == "resolve" else first.next_step
    key = dedup_key or first.incident_id or first.alert_id
    form = f"{public_url}/alerts/{key}/ack" if transition in ASKING else ""
    told = _words(transition, what, why, since.astimezone(ZoneInfo(zone)), at_risk, owner_title, next_step, first.link)
    return Page(
        dedup_key=key,
        transition=transition,
        rule=first.rule,
        severity=first.severity,  # type: ignore[arg-type]  # a rule's own
        owner=first.owner,
        owner_title=owner_title,
        told_because=told_because or first.told_because,
        channel=first.channel if len({one.channel for one in alerts}) == 1 else "",
        what=what,
        why=why,
        since=since,
        at=now,
        overdue_open=sum(one.overdue_open for one in alerts),
        at_risk=at_risk,
        items=tuple(_item(item, public_url) for item in items),
        next_step=next_step,
        link=first.link,
        text=told + (f" Acknowledged by {by}: {note}" if by else "") + (f" At it? {form}" if form else ""),
        acknowledge=form,
        alerts=len(alerts),
        by=by,
        note=note,
    )


def places(alerts: Sequence[Alert]) -> str:
    named = [one.place or ("all of it" if one.level == "all" else "no channel") for one in alerts]
    more = f" and {len(named) - PLACES_NAMED} more" if len(named) > PLACES_NAMED else ""
    return ", ".join(named[:PLACES_NAMED]) + more


def summed(amounts: Iterable[Money]) -> tuple[Money, ...]:
    """One amount for each currency."""
    value: Counter[str] = Counter()
    for money in amounts:
        value[money.currency] += money.amount_minor
    return tuple(Money(amount, currency) for currency, amount in value.items())


def link_to(sla: str, channel: str, subject: str, public_url: str) -> str:
    """Where the items are."""
    query = f"?channel={quote(channel)}" if channel else ""
    if subject.startswith("exception:"):
        return f"{public_url}/ui/exceptions?kind={quote(subject.removeprefix('exception:'))}"
    return f"{public_url}/ui/sla/{sla}{query}" if sla else f"{public_url}/ui/exceptions"


def in_words(at_risk: Sequence[Money]) -> str:
    return " + ".join(map(str, at_risk)) or "no amount"


def worded(told: Page, template: str) -> str:
    """The text of a message; a template that fails does not keep it back."""
    if not template:
        return told.text
    try:
        return template.format(**{name: getattr(told, name) for name in Page.__struct_fields__})
    except (IndexError, KeyError, ValueError, AttributeError, TypeError) as error:
        return f"{told.text} (The template of this contact failed: {type(error).__name__}: {error})"


def _item(item: OverdueItem, public_url: str) -> PageItem:
    return PageItem(
        title=item.title,
        entity_id=item.entity_id,
        owner=item.owner,
        due_at=item.due_at,
        amount=item.amount,
        reason=item.reason,
        link=f"{public_url}/ui/transaction/{item.correlation_id}",
    )


def _words(
    transition: Transition, what: str, why: str, since: datetime, at_risk: Sequence[Money], owner: str, next_step: str,
    link: str,
) -> str:  # fmt: skip
    began = f"{since:{EPOCH_FORMAT}} {since.tzname()}"
    if transition == "resolve":
        return f"RESOLVED {what}. {why}; it was {in_words(at_risk)} since {began}. {link}"
    mark = {"escalate": "ESCALATED ", "remind": "STILL OPEN ", "acknowledge": "ACKNOWLEDGED "}.get(transition, "")
    return f"{mark}{what}. {why} since {began}, {in_words(at_risk)} at risk. Owner: {owner}. Next: {next_step} {link}"
