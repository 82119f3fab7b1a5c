"""One journal a day for a store: what the ERP is given of trade that it does not take receipt by receipt."""

import datetime as dt
from typing import Final

import msgspec

from collector.semconv import correlation_id
from sync_core.clock import Clock
from sync_core.ledger.ledger import PostingRules
from sync_core.messages import Cause
from sync_core.model import Hop, Link
from sync_core.store import Session, Store, save_spans
from sync_core.telemetry import encode
from sync_core.unit import Told, link_event

ORIGIN: Final = "tallytrace.summaries"
MOST_DAYS: Final = 50


class Summaries:
    """Makes the summaries of days that are over; what comes later for a day is in another of its own."""

    def __init__(self, db: Store, rules: PostingRules, clock: Clock) -> None:
        self._db, self._rules, self._clock = db, rules, clock

    def run_once(self) -> int:
        """Returns how many summaries were made."""
        now = self._clock()
        before = (now - dt.timedelta(hours=self._rules.summaries.after_hours)).date()
        with self._db.transaction() as session:
            days = session.rows("days_to_summarise", before=before, limit=MOST_DAYS)
            for entity, location, day, currency in days:
                self._summarise(session, entity, location, day, currency, now)
        return len(days)

    def _summarise(
        self, session: Session, entity: str, location: str, day: dt.date, currency: str, now: dt.datetime
    ) -> None:
        place = {"entity": entity, "location": location, "day": day, "currency": currency}
        number = session.one("summaries_before", **place)[0] + 1
        entity_id = f"{entity}/{location}/{day}/{currency}/{number}"
        summary_id = f"{ORIGIN}:summary/{entity_id}"
        ids = [row[0] for row in session.rows("summarise", id=summary_id, **place)]
        lines = [
            {"account": account, "amount_minor": minor} | ({"tax_code": code} if code else {})
            for account, minor, code in session.rows("summed_lines", ids=ids)
        ]
        worth = sum(line["amount_minor"] for line in lines if line["amount_minor"] > 0)
        body = {"idempotency_key": summary_id, "journal_id": summary_id, "kind": "summary", "business_date": day,
                "currency": currency, "lines": lines}  # fmt: skip
        due_at = now + dt.timedelta(minutes=self._rules.minutes("summary"))
        identity = correlation_id(ORIGIN, entity_id)
        if lines:
            session.run(
                "add_erp_summary", id=summary_id, erp=self._rules.erp("summary", entity), legal_entity=entity,
                lane=self._rules.lane("summary"), identity=identity, origin=ORIGIN, entity_id=entity_id, day=day,
                location=location, currency=currency, worth=worth, due_at=due_at,
                body=msgspec.json.encode(body), now=now,
            )  # fmt: skip
        cause = Cause(ORIGIN, entity_id, day, "live")
        about = {"journal_id": summary_id, "location": location, "currency": currency, "amount_minor": worth,
                 "quantity": len(ids), "due_at": due_at, "legal_entity": entity, "owner": "finance"}  # fmt: skip
        whole = Hop("posting.journal", "transformation", identity, ORIGIN, "posting", f"summary/{entity_id}",
                    "journaled" if lines else "", attributes=about)  # fmt: skip
        told = [Told(whole, cause, now)]
        for journal_id, of, document, journal_entity, channel in session.rows("summed_journals", ids=ids):
            link = Link(of, identity, "part_of", entity_id)
            origin = journal_id.removesuffix(f":{document}/{journal_entity}")
            part = {"journal_id": summary_id, "channel": channel, "location": location, "reason": f"of {journal_id}"}
            told.append(Told(
                Hop("posting.summarise", "transformation", of, origin, "posting", f"{document}/{journal_entity}",
                    attributes=part, events=[link_event(link)]), cause, now,
            ))  # fmt: skip
        save_spans(session, encode(told), now)
