"""One tick: judge every rule, write down whom to tell, tell them."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from alerts.condition import Counted, least_bad, sla_of, windows
from alerts.delivery import Delivery, Reply, Sender, settle
from alerts.evaluate import AlertState, Step, step
from alerts.incident import Transition
from alerts.page import Alert, link_to
from alerts.reader import SampleReader
from alerts.readings import Segment, of_exceptions, of_promises, of_samples, of_unowned
from alerts.recent import counted, instants
from alerts.register import owner_of
from alerts.routing import Contact, Routes, route
from alerts.rule import EVERY, AnyRule, OpenExceptions
from alerts.rulebook import RESERVED
from alerts.store import Desk, RuleRun, Store
from alerts.telling import MOST_AT_ONCE, Teller
from alerts.watch import Audit, audit, gap, heartbeat
from lineage.model import OverdueItem, Sample

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)

ITEMS_ON_A_PAGE: Final = 5
PAGES_WITH_ITEMS: Final = 50  # of one tick; the rest say where the items are
FORGOTTEN: Final = timedelta(hours=1)  # of a rule that no evaluator judges any more
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


class Present:
    """What the rules of one tick look at; each question is asked once, and one that failed is not asked again."""

    def __init__(self, samples: SampleReader, alerts: Callable[[], Sequence[Alert]]) -> None:
        self.newest = _once(samples.newest_samples)
        self.undecided = _once(samples.undecided)
        self.alerts = _once(alerts)


class Evaluator:
    """``clock`` is the wall's: it times messages and runs, while promises are judged in the time of ``tick``.

    ``promises``: the names of all; ``interval_seconds`` between two ticks; ``heartbeat_to`` is the contact that hears a
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
        promises: Collection[str] = (),
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
        self._promises = promises
        self._interval = timedelta(seconds=interval_seconds)
        self._heartbeat = heartbeat
        self._contacts = dict(routes.contacts) | ({heartbeat.name: heartbeat} if heartbeat else {})
        self._receivers = ThreadPoolExecutor(RECEIVERS_AT_ONCE, thread_name_prefix="alert-sender")
        self._items_left = 0
        self._counted: dict[str, tuple[datetime, dict[Segment, Mapping[float, Counted]]]] = {}
        hidden_by = {rule.name: rule.hidden_by for rule in self._rules if rule.hidden_by}
        self.teller = Teller(routes, self._items, public_url, hidden_by)

    def tick(self, now: datetime) -> Report:
        """Judge as of ``now``, the business present. Several evaluators over one store do what one would."""
        judged = self._judge_all(now)
        failed = sum(run.outcome == "failed" for run in judged or ())
        told, delivered, undelivered = self._tell(alive=not failed)
        return Report(
            paged=told.count("page"),
            resolved=told.count("resolve"),
            delivered=delivered,
            undelivered=undelivered,
            skipped=len(self._rules) if judged is None else 0,
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

    def _judge_all(self, now: datetime) -> list[RuleRun] | None:
        """None when another evaluator was at it."""
        started_at = self._clock()
        with self._store.evaluation() as desk:
            if desk is None:
                return None
            last, states, runs = desk.last_runs(), desk.states(), []
            present = Present(self._samples, desk.alerts)
            taken: list[tuple[AnyRule, AlertState, Step]] = []
            for rule in self._rules:
                before = states.get(rule.name, {})
                try:
                    steps, times = self._judged(rule, before, present, now)
                    runs.append(self._run(rule, now, started_at, times, None))
                except Exception as error:  # a rule that fails must not keep the others from being judged
                    log.exception("rule %s failed", rule.name)
                    runs.append(self._run(rule, now, started_at, (), f"{type(error).__name__}: {error}"))
                    continue
                taken += [(rule, state, after) for state, after in steps]
            self._keep(desk, taken, now)
            self._end(desk, states, last, now)
            missed = (gap(rule.name, last.get(rule.name), now, self._interval) for rule in self._rules)
            desk.record([*filter(None, missed), *runs], now)
        return runs

    def _judged(
        self, rule: AnyRule, before: Mapping[str, AlertState], present: "Present", now: datetime
    ) -> tuple[list[tuple[AlertState, Step]], Sequence[datetime]]:
        """What each place of a rule comes to, and the times of what it looked at."""
        known = {key: state.place for key, state in before.items()}
        samples: Sequence[Sample] = ()
        if rule is self._unowned:
            readings, times = of_unowned(present.alerts(), known, now), [now]
        elif isinstance(rule, OpenExceptions):
            readings, times = of_exceptions(present.undecided(), rule, known, now), [now]
        elif sla_of(rule) == EVERY:
            readings = of_promises(self._promises, present.newest())
            times = [reading.as_of for _, reading in readings.values() if reading]
        else:
            samples = present.newest().get(sla_of(rule), ())
            times = [one.as_of for one in samples]
            readings = of_samples(samples, rule.levels, known, self._recent(rule, samples))
        steps = []
        for key, (place, reading) in readings.items():
            state = before.get(key) or AlertState(rule=rule.name, group=key, place=place)
            steps.append((state, step(state, reading, rule, now)))
        return steps, times

    def _end(
        self, desk: Desk, states: Mapping[str, Mapping[str, AlertState]], last: Mapping[str, RuleRun], now: datetime
    ) -> None:
        """What fired by a rule that nobody has loaded for a while is over."""
        kept = {rule.name for rule in self._rules}
        gone = {name for name, run in last.items() if name not in kept and now - run.due_at > FORGOTTEN}
        firing = [one for name in gone for one in states.get(name, {}).values() if one.phase == "firing"]
        if firing:
            desk.save([msgspec.structs.replace(one, phase="resolved", since=now) for one in firing])
            desk.resolve({one.alert_id: "its rule is not judged any more" for one in firing}, now)

    def _recent(self, rule: AnyRule, samples: Sequence[Sample]) -> dict[Segment, Mapping[float, Counted]]:
        wanted = windows(rule)
        whole = next((one for one in samples if not (one.channel or one.location or one.provider or one.kind)), None)
        if not wanted or whole is None:
            return {}
        counts = {
            (one.channel, one.location, one.provider): Counted(one.all_good, one.all_bad)
            for one in samples
            if not one.kind
        }
        if max(one.bad for one in samples) < least_bad(rule):  # nothing can hold, whatever was before
            return {segment: dict.fromkeys(wanted, Counted(0, 0)) for segment in counts}
        before = self._counted.get(rule.name)
        if before is None or before[0] != whole.as_of:
            stored = self._samples.counted_at(sla_of(rule), instants(whole.as_of, wanted))
            found: dict[Segment, Mapping[float, Counted]] = {
                segment: counted(whole.as_of, count, stored.get(segment, {}), wanted)
                for segment, count in counts.items()
            }
            self._counted[rule.name] = (whole.as_of, found)
        return self._counted[rule.name][1]

    def _keep(self, desk: Desk, taken: Sequence[tuple[AnyRule, AlertState, Step]], now: datetime) -> None:
        """A place where nothing is the matter leaves nothing behind."""
        steps = [after for _, before, after in taken if after.change or after.state != before]
        desk.save([one.state for one in steps if one.change or one.state.phase in ("pending", "firing")])
        desk.open([self._alert(after, rule, now) for rule, _, after in taken if after.change == "firing"])
        desk.resolve({one.state.alert_id: one.reason for one in steps if one.change == "resolved"}, now)
        desk.refresh(  # what was at stake stays to be read afterwards
            [
                one.state
                for one in steps
                if one.change is None and one.state.phase == "firing" and one.state.true_at == now
            ]
        )

    def _alert(self, fired: Step, rule: AnyRule, now: datetime) -> Alert:
        state = fired.state
        place = state.place
        sla = place.promise or sla_of(rule)
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


def _once(ask: Callable[[], Answer]) -> Callable[[], Answer]:
    answer: Future[Answer] = Future()

    def answered() -> Answer:
        if not answer.done():
            try:
                answer.set_result(ask())
            except Exception as error:  # noqa: BLE001  # raised for each that asks
                answer.set_exception(error)
        return answer.result()

    return answered
