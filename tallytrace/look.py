"""What the reading commands fetch from the running product, and how the terminal shows it."""

from typing import BinaryIO

import httpx
import msgspec
from rich.console import RenderableType
from rich.table import Column, Table

from lineage.model import BlastRadius, Sample, SearchResult, SlaDetail, Troubles
from lineage.reconciliation import Cell, Entry
from lineage.text import moment, money, tiles
from sync_core.answers import OpenException
from sync_core.exceptions.exceptions import Acted, Record
from sync_core.ledger.books_api import Ages, Statement
from sync_core.ledger.closing import PeriodStatus
from sync_core.money import text
from tallytrace.errors import RemoteError
from tallytrace.remote import client, problem
from tallytrace.supervisor import Product


def up(product: Product, any_id: str) -> tuple[int, bytes]:
    """Status and body of the answer about an ID: 200 a journey, 300 a choice, 404 suggestions. Raises RemoteError."""
    url = f"{product.plane_url}/v1/transactions"
    try:
        response = client().get(url, params={"id": any_id}, timeout=60.0)
    except httpx.HTTPError as error:
        raise RemoteError(f"{url} does not answer ({type(error).__name__})") from error
    if response.status_code not in (200, 300, 404):
        raise RemoteError(problem(response))
    return response.status_code, response.content


def copy_journal(product: Product, form: str, target: BinaryIO) -> None:
    """Stream the journal into ``target``. Raises RemoteError."""
    url = f"{product.core_url}/v1/journal"
    try:
        with client().stream("GET", url, params={"format": form}, timeout=300.0) as response:
            if response.status_code != 200:
                raise RemoteError(f"HTTP {response.status_code} from {url}")
            for chunk in response.iter_bytes():
                target.write(chunk)
    except httpx.HTTPError as error:
        raise RemoteError(f"{url} broke off ({type(error).__name__})") from error
    target.flush()


def sla(body: bytes) -> RenderableType:
    """One promise and its segments, as a table of tiles."""
    return tiles([msgspec.json.decode(body, type=SlaDetail).tile])


def cells(body: bytes) -> Table:
    """Cells of reconciliation, the latest day first."""
    table = Table("level", "date", "of", "left", "right", "explained", "unexplained", "run", box=None)
    for one in msgspec.json.decode(body, type=list[Cell]):
        explained = {why: getattr(one, f"{why}_minor") for why in ("timing", "fees", "tax", "rounding", "known")}
        words = ", ".join(f"{why} {text(minor, one.currency)}" for why, minor in explained.items() if minor)
        left, right = (text(minor, one.currency) for minor in (one.left_minor, one.right_minor))
        where = "/".join(filter(None, (one.channel, one.provider, one.location, one.kind, one.legal_entity)))
        table.add_row(
            one.level, str(one.business_date), where, f"{left} {one.currency}", right, words,
            text(one.unexplained_minor, one.currency), str(one.run),
        )  # fmt: skip
    return table


def differences(body: bytes) -> Table:
    """The transactions that differences are made of."""
    number = Column("number", overflow="fold")
    table = Table("level", "date", "of", number, "left", "right", "why", "amount", box=None)
    for one in msgspec.json.decode(body, type=list[Entry]):
        minors = (one.left_minor, one.right_minor, one.amount_minor)
        left, right, amount = (text(minor, one.currency) for minor in minors)
        table.add_row(
            one.level, str(one.business_date), one.entity, one.entity_id, left, right, one.cause or one.why,
            f"{amount} {one.currency}",
        )  # fmt: skip
    return table


def found(body: bytes) -> Table:
    """Transactions, the latest first."""
    table = Table("transaction", "state", "where", "amount", "last", "next step is with", "wrong", box=None)
    for one in msgspec.json.decode(body, type=SearchResult).items:
        where = " ".join(filter(None, (one.channel, one.location)))
        what = f"{one.kind} {one.reference or one.correlation_id}"
        table.add_row(what, one.state, where, money(one.amount), moment(one.last_at), one.owner, ", ".join(one.wrong))
    return table


def wrong(body: bytes) -> Table:
    """What is wrong, the oldest first."""
    table = Table("since", "what", "where", "cause", "amount", "owner", box=None)
    for one in msgspec.json.decode(body, type=Troubles).items:
        what = f"{one.finding.kind}: {one.finding.title}, {one.finding.entity_id or one.correlation_id}"
        table.add_row(moment(one.finding.since), what, one.finding.stage, one.finding.cause,
                      money(one.finding.amount), one.finding.owner)  # fmt: skip
    return table


def radius(body: bytes) -> Table:
    """What is held up, and by whom it is felt."""
    told = msgspec.json.decode(body, type=BlastRadius)
    table = Table(told.subject, f"at {told.stage}", box=None)
    amounts = ", ".join(map(money, told.amounts))
    table.add_row("holds up", f"{told.transactions:,} transactions, {amounts}, since {moment(told.since)}")
    table.add_row("orders, customers", f"{told.orders:,}, {told.customers:,}")
    for name, shares in (("channels", told.channels), ("locations", told.locations), ("owners", told.owners)):
        table.add_row(name, ", ".join(f"{one.name} {one.transactions:,}" for one in shares[:20]))
    table.add_row("SKUs", f"{told.sku_count:,}: {', '.join(told.skus[:20])}")
    table.add_row("causes", ", ".join(f"{cause} ({count:,})" for cause, count in told.causes.items()))
    return table


def report(body: bytes, name: str) -> Table:
    """What promises came to over the windows that ended with a day, whole and by segment."""
    columns = ("promise", "where", "state", "value", "target", "good", "bad", "overdue", "at risk", "version")
    table = Table(*columns, box=None)
    for one in msgspec.json.decode(body, type=list[Sample]):
        if name in ("", one.sla):
            where = " · ".join(part for part in (one.channel, one.location, one.provider, one.kind) if part)
            value = "" if one.value is None else f"{one.value:.2%}"
            worth = ", ".join(map(money, one.at_risk))
            version = moment(one.measured_at) if one.measured_at else ""
            table.add_row(one.sla, where, one.state.replace("_", " "), value, f"{one.target:.2%}", str(one.good),
                          str(one.bad), str(one.overdue_open), worth, version)  # fmt: skip
    return table


def exceptions(body: bytes) -> Table:
    """What a person must decide."""
    exception_id = Column("exception", overflow="fold")  # whole, as it is what one acts on
    table = Table(exception_id, "opened", "owner", "severity", "amount", "detail", "first", box=None)
    for one in msgspec.json.decode(body, type=list[OpenException]):
        amount = f"{text(one.amount_minor, one.currency)} {one.currency}" if one.amount_minor else ""
        whose = f"{one.owner}: {one.assignee}" if one.assignee else one.owner
        opened_at = str(one.opened_at)[:16]
        table.add_row(one.exception_id, opened_at, whose, one.severity, amount, one.detail, one.playbook.first)
    return table


def history(body: bytes) -> Table:
    """Who did what about an exception, and why."""
    table = Table("at", "who", "did", "to", "why", box=None)
    for one in msgspec.json.decode(body, type=list[Record]):
        table.add_row(str(one.at)[:19], one.by, one.action, one.to, one.reason)
    return table


def acted(told: Acted) -> str:
    """What became of each exception, and what it comes to."""
    lines = [f"{one.outcome:<22} {one.exception_id}" for one in told.outcomes]
    worth = ", ".join(f"{text(minor, currency)} {currency}" for currency, minor in sorted(told.worth.items()))
    done = f"{told.done} {'would be done' if told.dry_run else 'done'}"
    lines.append(f"{done}, {worth}" if worth else done)
    if told.left:
        lines.append(f"{told.left} more are found: run it again")
    return "\n".join(lines)


def period(told: PeriodStatus) -> str:
    """What is left to do before a period is closed, and who did what to it."""
    days = "" if told.days_to_close is None else f", {told.days_to_close} days after its end"
    lines = [f"{told.period} of {told.legal_entity} is {told.state}{days}"]
    for point in told.points:
        lines.append(f"{point.count:>8} {point.name}")
        lines += [
            f"{'':>9}{what}  {f'{text(minor, currency)} {currency}' if currency else ''}"
            for what, minor, currency in point.largest
        ]
    lines += [f"{one.at:%Y-%m-%d %H:%M} {one.by}: {one.action}, {one.reason}" for one in told.record]
    return "\n".join(lines)


def statement(told: Statement) -> Table:
    """What is open on an account, oldest first; in its caption, what it holds by age."""
    table = Table("date", "document", "reference", "order", "amount", "open", "days", title=told.account, box=None)
    for one in told.entries:
        amounts = (f"{text(minor, one.currency)} {one.currency}" for minor in (one.amount_minor, one.open_minor))
        table.add_row(str(one.business_date), one.document, one.reference, one.order_id, *amounts, str(one.age_days))
    table.caption = "\n".join(map(_by_age, told.totals))
    return table


def _by_age(one: Ages) -> str:
    minors = (one.balance_minor, one.open_minor, one.to_7_days_minor, one.to_30_days_minor, one.to_90_days_minor,
              one.older_minor)  # fmt: skip
    held, left, week, month, quarter, older = (text(minor, one.currency) for minor in minors)
    return f"{held} {one.currency} held, {left} open: to 7 days {week}, to 30 {month}, to 90 {quarter}, older {older}"
