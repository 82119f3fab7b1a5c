"""What a person is told: what, why, since when, how much money, whose, the next step, and where to look."""

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

from msgspec import Struct

from alerts.evaluate import AlertState, Transition
from alerts.routing import Routed
from alerts.rule import Rule, Severity
from lineage.model import Money, OverdueItem


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


def page(
    state: AlertState, rule: Rule, routed: Routed, *, transition: Transition, why: str, items: Sequence[OverdueItem],
    public_url: str, now: datetime,
) -> Page:  # fmt: skip
    link = items_link(rule, state.group, public_url)
    since = state.oldest_due_at or state.since or now
    what = f"{rule.summary}: {state.group or 'no channel'}"
    next_step = rule.next_step if transition == "page" else "none"
    return Page(
        dedup_key=state.alert_id,
        transition=transition,
        rule=rule.name,
        severity=rule.severity,
        owner=rule.owner,
        owner_title=routed.title,
        told_because=routed.reason,
        channel=state.group,
        what=what,
        why=why,
        since=since,
        at=now,
        overdue_open=state.overdue_open,
        at_risk=state.at_risk,
        items=tuple(_item(item, public_url) for item in items),
        next_step=next_step,
        link=link,
        text=_words(transition, what, why, since, state.at_risk, routed.title, next_step, link),
    )


def items_link(rule: Rule, channel: str, public_url: str) -> str:
    query = f"?channel={quote(channel)}" if channel else ""
    return f"{public_url}/ui/sla/{rule.sla}{query}"


def in_words(at_risk: Sequence[Money]) -> str:
    return " + ".join(map(str, at_risk)) or "no amount"


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
    if transition == "resolve":
        return f"RESOLVED {what}. {why}; it was {in_words(at_risk)} since {since:%Y-%m-%d %H:%M:%S} UTC. {link}"
    return (
        f"{what}. {why} since {since:%Y-%m-%d %H:%M:%S} UTC, {in_words(at_risk)} at risk. "
        f"Owner: {owner}. Next: {next_step} {link}"
    )
