"""One tick: judge every rule, write down whom to tell, tell them."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any, Final

from msgspec import Struct

from alerts.condition import Counted, Place, sla_of, windows
from alerts.delivery import Delivery, Reply, Sender, settle
from alerts.evaluate import AlertState, Step, step
from alerts.incident import Transition
from alerts.page import Alert, link_to
from alerts.reader import SampleReader
from alerts.readings import Placed, Segment, of_exceptions, of_samples, of_unowned
from alerts.recent import counted, instants
from alerts.register import owner_of
from alerts.routing import Contact, Routes, route
from alerts.rule import AnyRule, OpenExceptions
from alerts.rulebook import RESERVED
from alerts.store import Desk, RuleRun, Store
from alerts.telling import MOST_AT_ONCE, Teller
from alerts.watch import Audit, audit, gap, heartbeat
from lineage.model import OverdueItem, Sample

log = logging.getLogger(__name__)

ITEMS_ON_A_PAGE: Final = 5
PAGES_WITH_ITEMS: Final = 50  # of one tick; the rest say where the items are
LEASE: Final = timedelta(seconds=60)
ROUNDS: Final = 20  # of messages in one tick; a resolve goes in the round after its page
TELLINGS: Final = 100  # in one tick, each of up to MOST_AT_ONCE incidents
RECEIVERS_AT_ONCE: Final = 8
SEND_FOR: Final = timedelta(seconds=20)  # in one tick; a slow receiver may not keep the rules from being judged


WITHOUT_OWNER: Final[dict[str, Any]] = {
    "name": RESERVED,
    "domain": "exception",
    "severity": "major",
    "open_at_least": 1,
    "stale_after_seconds": 300,
    "summary": "alerts have no owner who can be reached",
    "next_step": "Give it an owner with a contact in the register of owners; until then these alerts come to you.",
}
"""A rule that is always there."""


class Report(Struct, frozen=True, kw_only=True):
    """What one tick did. ``skipped``: rules that another evaluator was judging."""

    paged: int
    resolved: int
    delivered: int
    undelivered: int
    skipped: int
    failed: int


class Evaluator:
    """``clock`` is the wall's: it times messages and runs, while promises are judged in the time of ``tick``.

    ``window_seconds`` of each SLA; ``interval_seconds`` between two ticks; ``heartbeat_to`` is the contact that hears a
    heartbeat after each tick that the auditor found nothing wrong with, "" for none.
    """

    def __init__(
        self,
        store: Store,
        samples: SampleReader,
        rules: Sequence[AnyRule],
        routes: Routes,
        senders: Mapping[str, Sender],
        clock: Callable[[], datetime],
        *,
        public_url: str = "",
        window_seconds: Mapping[str, float] | None = None,
        interval_seconds: float = 15,
        heartbeat: Contact | None = None,
    ) -> None:
        self._store = store
        self._samples = samples
        self._unowned = OpenExceptions(**WITHOUT_OWNER, owner=routes.fallback)
        self._rules = [*(rule for rule in rules if rule.enabled), self._unowned]
        self._routes = routes
        self._senders = senders
        self._clock = clock
        self._public_url = public_url
        self._window_seconds = window_seconds or {}
        self._interval = timedelta(seconds=interval_seconds)
        self._heartbeat = heartbeat
        self._contacts = dict(routes.contacts) | ({heartbeat.name: heartbeat} if heartbeat else {})
        self._receivers = ThreadPoolExecutor(RECEIVERS_AT_ONCE, thread_name_prefix="alert-sender")
        self._items_left = 0
        self.teller = Teller(routes, self._items, public_url)

    def tick(self, now: datetime) -> Report:
        """Judge as of ``now``, the business present. Several evaluators over one store do what one would."""
        skipped = failed = 0
        last = {run.rule: run for run in self._store.last_runs()}
        for rule in self._rules:
            try:
                skipped += not self._judge(rule, now, last.get(rule.name))
            except Exception as error:  # a rule that fails must not keep the others and the waiting messages back
                log.exception("rule %s failed", rule.name)
                failed += 1
                self._store.record(self._run(rule, now, now, (), f"{type(error).__name__}: {error}"))
        told, delivered, undelivered = self._tell(alive=not failed)
        return Report(
            paged=told.count("page"),
            resolved=told.count("resolve"),
            delivered=delivered,
            undelivered=undelivered,
            skipped=skipped,
            failed=failed,
        )

    def audit(self) -> Audit:
        """Whether alerting itself does what it promises."""
        return audit(self._store, self._clock(), [rule.name for rule in self._rules], self._reached(), self._interval)

    def deliver(self) -> tuple[int, int]:
        """Sends what is due; (arrived, did not arrive)."""
        contacts = [self._contacts[name] for name in self._reached()]
        delivered = undelivered = 0
        until = self._clock() + SEND_FOR
        for _ in range(ROUNDS):
            now = self._clock()
            if now >= until:
                break
            claimed = self._store.claim(now, now + LEASE, contacts)
            if not claimed:
                break
            for arrived, missed in self._receivers.map(partial(self._send_all, until), _by_contact(claimed)):
                delivered += arrived
                undelivered += missed
        return delivered, undelivered

    def close(self) -> None:
        self._receivers.shutdown()

    def _reached(self) -> list[str]:
        return [contact.name for contact in self._contacts.values() if contact.address]

    def _tell(self, *, alive: bool) -> tuple[list[Transition], int, int]:
        told: list[Transition] = []
        delivered = undelivered = 0
        self._items_left = PAGES_WITH_ITEMS
        for _ in range(TELLINGS):
            now = self._clock()
            with self._store.evaluation() as desk:
                now_told = self.teller.tell(desk, now) if desk else []
            for one in now_told:
                log.info("%s %s: %s", one.transition, one.incident_id, one.reason)
            told += [one.transition for one in now_told]
            arrived, missed = self.deliver()
            delivered, undelivered = delivered + arrived, undelivered + missed
            if len(now_told) < MOST_AT_ONCE:
                break
        if alive and self._heartbeat and self.audit().sound:
            with self._store.evaluation() as desk:
                if desk:
                    desk.beat(heartbeat(self._heartbeat.name, self._clock()), self._clock())
            self.deliver()
        return told, delivered, undelivered

    def _judge(self, rule: AnyRule, now: datetime, last: RuleRun | None) -> bool:
        """False when another evaluator was at it."""
        started_at = self._clock()
        with self._store.evaluation() as desk:
            if desk is None:
                return False
            if missed := gap(rule.name, last, now, self._interval):
                desk.record(missed)
            samples = self._samples.newest_samples(sla_of(rule)) if sla_of(rule) else ()
            states = desk.states(rule.name)
            known = {key: state.place for key, state in states.items()}
            if rule is self._unowned:
                readings = of_unowned(desk.alerts(), known, now)
            else:
                readings = self._readings(rule, samples, known, now)
            steps = []
            for key, (place, reading) in readings.items():
                before = states.get(key) or AlertState(rule=rule.name, group=key, place=place)
                steps.append((before, step(before, reading, rule, now)))
            self._keep(desk, rule, steps, now)
            times = [now] if isinstance(rule, OpenExceptions) else [one.as_of for one in samples]
            desk.record(self._run(rule, now, started_at, times, None))
        return True

    def _readings(self, rule: AnyRule, samples: Sequence[Sample], known: Mapping[str, Place], now: datetime) -> Placed:
        if isinstance(rule, OpenExceptions):
            return of_exceptions(self._samples.undecided(), rule, known, now)
        return of_samples(samples, rule.levels, known, self._recent(rule, samples))

    def _recent(self, rule: AnyRule, samples: Sequence[Sample]) -> dict[Segment, Mapping[float, Counted]]:
        wanted = windows(rule)
        whole = next((one for one in samples if not (one.channel or one.location or one.provider or one.kind)), None)
        if not wanted or whole is None:
            return {}
        sla = sla_of(rule)
        window_seconds = self._window_seconds[sla]
        stored = self._samples.counted_at(sla, instants(whole.as_of, wanted, window_seconds))
        return {
            segment: counted(whole.as_of, Counted(one.good, one.bad), stored.get(segment, {}), wanted, window_seconds)
            for one in samples
            if not one.kind
            for segment in [(one.channel, one.location, one.provider)]
        }

    def _keep(self, desk: Desk, rule: AnyRule, steps: Sequence[tuple[AlertState, Step]], now: datetime) -> None:
        desk.save([after.state for before, after in steps if after.state != before])
        desk.open([self._alert(after, rule, now) for _, after in steps if after.change == "firing"])
        desk.resolve({after.state.alert_id: after.reason for _, after in steps if after.change == "resolved"}, now)
        desk.refresh(  # what was at stake stays to be read afterwards
            [
                after.state
                for _, after in steps
                if after.change is None and after.state.phase == "firing" and after.state.true_at == now
            ]
        )

    def _alert(self, fired: Step, rule: AnyRule, now: datetime) -> Alert:
        state = fired.state
        place, sla = state.place, sla_of(rule)
        owner = self._owner(rule, state)
        routed = route(owner, self._routes)
        return Alert(
            alert_id=state.alert_id,
            rule=rule.name,
            sla=sla,
            domain=rule.domain,
            level=place.level,
            channel=place.channel,
            location=place.location,
            provider=place.provider,
            subject=place.subject,
            owner=owner,
            told=routed.owner,
            told_because=routed.reason,
            severity=rule.severity,
            summary=rule.summary,
            reason=fired.reason,
            next_step=rule.next_step,
            link=link_to(sla, place.channel, place.subject, self._public_url),
            overdue_open=state.overdue_open,
            at_risk=state.at_risk,
            oldest_due_at=state.oldest_due_at,
            opened_at=now,
        )

    def _owner(self, rule: AnyRule, state: AlertState) -> str:
        """Of the rule, else of what it is about, else of the subject, else whom the core told."""
        if rule.owner:
            return rule.owner
        return owner_of(rule.about or state.place.subject, self._routes.owned) or state.owner

    def _items(self, alert: Alert) -> Sequence[OverdueItem]:
        self._items_left -= 1
        if not alert.sla or self._items_left < 0:
            return ()
        try:
            return self._samples.overdue_items(alert.sla, alert.channel, ITEMS_ON_A_PAGE)
        except Exception:  # a page without its items is better than none
            log.exception("no items for the page of rule %s", alert.rule)
            return ()

    def _run(
        self,
        rule: AnyRule,
        due_at: datetime,
        started_at: datetime,
        times: Sequence[datetime],
        failure: str | None,
    ) -> RuleRun:
        return RuleRun(
            rule=rule.name,
            due_at=due_at,
            started_at=started_at,
            finished_at=self._clock(),
            outcome="failed" if failure else "ok" if times else "no_data",
            watermark=max(times, default=None),
            reason=failure or "",
        )

    def _send_all(self, until: datetime, deliveries: list[Delivery]) -> tuple[int, int]:
        """All of one contact, in their order. One that has to wait makes the rest wait: they go to the same place."""
        contact = self._contacts[deliveries[0].contact]
        delivered = 0
        for place, delivery in enumerate(deliveries, start=1):
            reply = self._send(delivery, contact)
            settlement = settle(delivery, reply, self._clock())
            self._store.settle(settlement)
            delivered += settlement.state == "delivered"
            if settlement.state != "delivered":
                log.warning("%s to %s: %s %s", delivery.idempotency_key, contact.name, reply.status_code, reply.error)
            if settlement.state == "waiting" or self._clock() >= until:
                self._store.put_back([each.delivery_id for each in deliveries[place:]], settlement.not_before)
                break
        return delivered, len(deliveries) - delivered

    def _send(self, delivery: Delivery, contact: Contact) -> Reply:
        try:
            return self._senders[contact.sender](delivery, contact, self._clock())
        except Exception as error:  # a sender that fails must not keep what waits for other receivers
            log.exception("sender %s failed", contact.sender)
            return Reply(status_code=None, error=type(error).__name__)


def _by_contact(deliveries: list[Delivery]) -> list[list[Delivery]]:
    ordered = sorted(deliveries, key=lambda each: (each.contact, each.priority, each.delivery_id))
    return [list(group) for _, group in groupby(ordered, key=lambda each: each.contact)]
