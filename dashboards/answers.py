"""What the sync core and the alerts answer, as far as pages show it; amounts in minor units."""

from datetime import date, datetime

from msgspec import Struct

from lineage.model import Money

# --- the sync core --------------------------------------------------------------------------------------------------


class Playbook(Struct, frozen=True):
    means: str
    first: str
    by_itself: str


class CoreException(Struct, frozen=True):
    exception_id: str
    kind: str
    severity: str
    correlation_id: str
    entity: str
    entity_id: str
    owner: str
    assignee: str
    amount_minor: int
    currency: str
    detail: str
    state: str
    opened_at: datetime
    resolved_at: datetime | None
    resolution: str
    replays: int
    age_seconds: float
    playbook: Playbook

    @property
    def worth(self) -> Money:
        return Money(self.amount_minor, self.currency)


class ExceptionSum(Struct, frozen=True):
    kind: str
    severity: str
    owner: str
    channel: str
    currency: str
    open: int
    amount_minor: int
    oldest_at: datetime


class Record(Struct, frozen=True):
    at: datetime
    by: str
    action: str
    reason: str
    to: str = ""


class Outcome(Struct, frozen=True):
    exception_id: str
    outcome: str


class Acted(Struct, frozen=True):
    done: int
    left: int
    worth: dict[str, int]
    outcomes: tuple[Outcome, ...]


class Period(Struct, frozen=True):
    legal_entity: str
    period: str
    state: str
    journals: int
    closed_at: datetime | None


class ClosePoint(Struct, frozen=True):
    name: str
    count: int
    largest: tuple[tuple[str, int, str], ...]


class PeriodStatus(Struct, frozen=True):
    legal_entity: str
    period: str
    starts: date
    ends: date
    state: str
    days_to_close: int | None
    points: tuple[ClosePoint, ...]
    record: tuple[Record, ...]


class OpenSide(Struct, frozen=True):
    """A settlement line or a payment of an order that nothing settles yet."""

    side: str
    account: str
    currency: str
    open_minor: int
    reference: str
    order_id: str
    origin: str
    settlement_id: str
    business_date: date
    state: str


class Ages(Struct, frozen=True):
    currency: str
    balance_minor: int
    lines: int
    open_minor: int
    to_7_days_minor: int
    to_30_days_minor: int
    to_90_days_minor: int
    older_minor: int


class Statement(Struct, frozen=True):
    account: str
    until: date
    totals: tuple[Ages, ...]


class ChannelStatus(Struct, frozen=True):
    channel: str
    state: str
    waiting: int
    oldest_waiting_seconds: float
    refused: int
    acknowledged_at: datetime | None
    reason: str


class Accuracy(Struct, frozen=True):
    channel: str
    location: str
    lines: int
    equal: int
    accurate: int
    accurate_ppm: int


class Replenishment(Struct, frozen=True):
    sku: str
    location: str
    quantity: int
    raised_at: datetime


class ReturnLine(Struct, frozen=True):
    quantity: int
    disposed: dict[str, int]
    uninspected: int
    rejected: int


class Return(Struct, frozen=True):
    correlation_id: str
    origin: str
    return_id: str
    order_ids: tuple[str, ...]
    channel: str
    currency: str
    state: str
    stage: str
    reason: str
    opened_at: datetime
    approved_minor: int
    refunded_minor: int
    lines: tuple[ReturnLine, ...]


class Refund(Struct, frozen=True):
    origin: str
    return_id: str
    refund_id: str
    provider: str
    amount_minor: int
    tax_minor: int
    currency: str
    state: str
    instructed_at: datetime | None


class Lane(Struct, frozen=True):
    lane: str
    waiting: int
    oldest_seconds: float
    retrying: int


class Queues(Struct, frozen=True):
    inbox_queued: int
    inbox_parked: int
    inbox_dead: int
    outbox_waiting: int
    outbox_retrying: int
    outbox_refused: int
    spans_waiting: int
    exceptions_open: int
    erp: str
    outbox_lanes: tuple[Lane, ...]


# --- the alerts -----------------------------------------------------------------------------------------------------


class Alert(Struct, frozen=True):
    alert_id: str
    rule: str
    sla: str
    channel: str
    location: str
    provider: str
    subject: str
    owner: str
    told: str
    severity: str
    summary: str
    reason: str
    next_step: str
    overdue_open: int
    at_risk: tuple[Money, ...]
    opened_at: datetime
    resolved_at: datetime | None = None
    resolved_reason: str = ""
    hidden: str = ""

    @property
    def place(self) -> str:
        return " · ".join(part for part in (self.subject, self.channel, self.location, self.provider) if part)


class Delivery(Struct, frozen=True):
    dedup_key: str
    transition: str
    contact: str
    state: str
    attempts: int
    created_at: datetime
    delivered_at: datetime | None
    error: str


class Incident(Struct, frozen=True):
    told_owner: str
    opened_at: datetime
    next_at: datetime | None
    paged_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    note: str = ""
    standing: str = ""


class AlertView(Struct, frozen=True):
    alert: Alert
    deliveries: tuple[Delivery, ...]
    incident: Incident | None = None


class Alerts(Struct, frozen=True):
    as_of: datetime
    open: tuple[AlertView, ...]
    recent: tuple[AlertView, ...]


class Silence(Struct, frozen=True):
    silence_id: int
    kind: str
    match: dict[str, object]
    starts_at: datetime
    ends_at: datetime
    author: str
    reason: str
    hid: int = 0


class Hidden(Struct, frozen=True):
    silence_id: int | None
    hides: tuple[Alert, ...]


class RuleView(Struct, frozen=True):
    rule: dict[str, object]
    explained: str


class Fired(Struct, frozen=True):
    place: str
    at: datetime
    until: datetime | None
    why: str
    at_risk: tuple[Money, ...]
    page: bool


class Backtest(Struct, frozen=True):
    rule: str
    since: datetime
    until: datetime
    measurements: int
    fired: tuple[Fired, ...]
    pages: int
