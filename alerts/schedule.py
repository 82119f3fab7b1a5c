"""One tick: judge every rule, write down whom to tell, tell them."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Final

from msgspec import Struct

from alerts.delivery import Delivery, Reply, Sender, settle
from alerts.evaluate import AlertState, Step, Transition, by_channel, notify_reason, step
from alerts.page import items_link, page
from alerts.reader import SampleReader
from alerts.routing import Contact, Routed, Routes, route
from alerts.rule import Rule
from alerts.store import Alert, Desk, RuleRun, Store
from lineage.model import OverdueItem, Sample

log = logging.getLogger(__name__)

ITEMS_ON_A_PAGE: Final = 5
LEASE: Final = timedelta(seconds=60)
ROUNDS: Final = 20  # of messages in one tick; a resolve goes in the round after its page
RECEIVERS_AT_ONCE: Final = 8
SEND_FOR: Final = timedelta(seconds=20)  # in one tick; a slow receiver may not keep the rules from being judged


class Report(Struct, frozen=True, kw_only=True):
    """What one tick did. ``skipped``: rules that another evaluator was judging."""

    paged: int
    resolved: int
    delivered: int
    undelivered: int
    skipped: int
    failed: int


class Evaluator:
    """``clock`` is the wall's: it times messages and runs, while promises are judged in the time of ``tick``."""

    def __init__(
        self,
        store: Store,
        samples: SampleReader,
        rules: Sequence[Rule],
        routes: Routes,
        senders: Mapping[str, Sender],
        clock: Callable[[], datetime],
        *,
        public_url: str = "",
    ) -> None:
        self._store = store
        self._samples = samples
        self._rules = rules
        self._routes = routes
        self._senders = senders
        self._clock = clock
        self._public_url = public_url
        self._receivers = ThreadPoolExecutor(RECEIVERS_AT_ONCE, thread_name_prefix="alert-sender")

    def tick(self, now: datetime) -> Report:
        """Judge as of ``now``, the business present. Several evaluators over one store do what one would."""
        told: list[Transition] = []
        skipped = failed = 0
        for rule in self._rules:
            try:
                decided = self._judge(rule, now)
            except Exception as error:  # a rule that fails must not keep the others and the waiting messages back
                log.exception("rule %s failed", rule.name)
                failed += 1
                self._store.record(self._run(rule, now, now, (), f"{type(error).__name__}: {error}"))
                continue
            skipped += decided is None
            told += decided or []
        delivered, undelivered = self.deliver()
        return Report(
            paged=told.count("page"),
            resolved=told.count("resolve"),
            delivered=delivered,
            undelivered=undelivered,
            skipped=skipped,
            failed=failed,
        )

    def deliver(self) -> tuple[int, int]:
        """Sends what is due; (arrived, did not arrive)."""
        contacts = [contact for contact in self._routes.contacts.values() if contact.address]
        delivered = undelivered = 0
        until = self._clock() + SEND_FOR
        for _ in range(ROUNDS):
            now = self._clock()
            if now >= until:
                break
            claimed = self._store.claim(now, now + LEASE, [contact.name for contact in contacts])
            if not claimed:
                break
            for arrived, missed in self._receivers.map(partial(self._send_all, until), _by_contact(claimed)):
                delivered += arrived
                undelivered += missed
        return delivered, undelivered

    def close(self) -> None:
        self._receivers.shutdown()

    def _judge(self, rule: Rule, now: datetime) -> list[Transition] | None:
        started_at = self._clock()
        with self._store.evaluation() as desk:
            if desk is None:
                return None
            samples = self._samples.newest_samples(rule.sla)
            states = desk.states(rule.name)
            told = []
            for channel, sample in by_channel(samples, states).items():
                before = states.get(channel) or AlertState(rule=rule.name, group=channel)
                after = step(before, sample, rule, now)
                if after.state != before:
                    desk.save(after.state)
                told += self._tell(desk, rule, after, now)
            desk.record(self._run(rule, now, started_at, samples, None))
        return told

    def _tell(self, desk: Desk, rule: Rule, after: Step, now: datetime) -> list[Transition]:
        notice = notify_reason(after)
        state = after.state
        if notice.send is None:
            if state.phase == "firing" and state.true_at == now:  # what was at stake stays to be read afterwards
                desk.refresh(state)
            return []
        routed = route(rule.owner, self._routes)
        if notice.send == "page":
            desk.open(_alert(state, rule, routed, notice.reason, self._public_url, now))
        else:
            desk.resolve(state.alert_id, notice.reason, now)
        items = self._items(rule, state.group) if notice.send == "page" else ()
        message = page(
            state, rule, routed, transition=notice.send, why=notice.reason, items=items,
            public_url=self._public_url, now=now,
        )  # fmt: skip
        desk.tell(message, [contact.name for contact in routed.contacts], self._clock())
        log.info("%s %s: %s (%s)", notice.send, state.alert_id, notice.reason, routed.reason)
        return [notice.send]

    def _items(self, rule: Rule, channel: str) -> Sequence[OverdueItem]:
        try:
            return self._samples.overdue_items(rule.sla, channel, ITEMS_ON_A_PAGE)
        except Exception:  # a page without its items is better than none
            log.exception("no items for the page of rule %s", rule.name)
            return ()

    def _run(
        self, rule: Rule, due_at: datetime, started_at: datetime, samples: Sequence[Sample], failure: str | None
    ) -> RuleRun:
        return RuleRun(
            rule=rule.name,
            due_at=due_at,
            started_at=started_at,
            finished_at=self._clock(),
            outcome="failed" if failure else "ok" if samples else "no_data",
            watermark=max((sample.as_of for sample in samples), default=None),
            reason=failure or "",
        )

    def _send_all(self, until: datetime, deliveries: list[Delivery]) -> tuple[int, int]:
        """All of one contact, in their order. One that has to wait makes the rest wait: they go to the same place."""
        contact = self._routes.contacts[deliveries[0].contact]
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
        return self._senders[contact.sender](delivery, contact, self._clock())


def _by_contact(deliveries: list[Delivery]) -> list[list[Delivery]]:
    ordered = sorted(deliveries, key=lambda each: (each.contact, each.delivery_id))
    return [list(group) for _, group in groupby(ordered, key=lambda each: each.contact)]


def _alert(state: AlertState, rule: Rule, routed: Routed, why: str, public_url: str, now: datetime) -> Alert:
    return Alert(
        alert_id=state.alert_id,
        rule=rule.name,
        sla=rule.sla,
        channel=state.group,
        owner=rule.owner,
        told=routed.owner,
        severity=rule.severity,
        summary=rule.summary,
        reason=why,
        next_step=rule.next_step,
        link=items_link(rule, state.group, public_url),
        overdue_open=state.overdue_open,
        at_risk=state.at_risk,
        oldest_due_at=state.oldest_due_at,
        opened_at=now,
    )
