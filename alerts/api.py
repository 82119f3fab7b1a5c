"""Alerts over HTTP: what is open and who was told, acknowledgement, silences, rules and their replay, owners, audit."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Meta, Struct

from alerts.backtest import Backtest, reach_back, replayed
from alerts.condition import sla_of
from alerts.explanation import explained
from alerts.incident import Incident
from alerts.page import Alert
from alerts.reader import SampleReader
from alerts.register import Owner, owner_of, things
from alerts.routing import Routes, matches
from alerts.rule import EVERY, AnyRule
from alerts.rulebook import Promise, Refusal, RulesRefusedError, load_rules
from alerts.silence import Line, Silence, Wanted, fault
from alerts.store import DeliveryRecord, RuleRun, Store, StoreUnavailableError
from alerts.telling import Teller, labels
from alerts.watch import Audit
from lineage.model import Problem
from lineage.problems import not_found, refused, respond

AnyRequest = Request[Any, Any, Any]
MOST_HIDDEN: Final = 1000
LONGEST_REPLAY: Final = timedelta(days=90)


class AlertView(Struct, frozen=True):
    alert: Alert
    deliveries: tuple[DeliveryRecord, ...]
    incident: Incident | None = None


class Alerts(Struct, frozen=True):
    """``runs``: the newest evaluation of each rule, which says how old this answer's knowledge is."""

    as_of: datetime
    open: tuple[AlertView, ...]
    recent: tuple[AlertView, ...]
    runs: tuple[RuleRun, ...]


class Acknowledgement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whoever was told is told that somebody is at it, and reminded after ``remind_after_seconds``."""

    by: Line
    note: Line
    remind_after_seconds: Annotated[float, Meta(ge=60, le=86_400 * 7)] = 3600


class Hidden(Struct, frozen=True, kw_only=True):
    """What a silence hides now. ``silence_id`` is None when it was only asked what it would hide."""

    silence_id: int | None
    hides: tuple[Alert, ...]


class RuleView(Struct, frozen=True, kw_only=True):
    rule: AnyRule
    explained: str


class Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule to replay: the ``name`` of one that is loaded, or the ``text`` of a file with one, over the last days."""

    name: str = ""
    text: Annotated[str, Meta(max_length=20_000)] = ""
    since_seconds: Annotated[float, Meta(gt=0, le=LONGEST_REPLAY.total_seconds())] = 30 * 86_400


class Ownership(Struct, frozen=True, kw_only=True):
    """``owns`` has the owner of each thing of the register; ``unowned`` what was asked about and nobody owns."""

    fallback: str
    owners: dict[str, Owner]
    owns: dict[str, str]
    unowned: tuple[str, ...]


class Book(Struct, frozen=True, kw_only=True):
    """What alerts are judged by."""

    rules: Sequence[AnyRule]
    promises: Mapping[str, Promise]
    routes: Routes

    def read(self, text: str) -> tuple[AnyRule, ...]:
        """Raises RulesRefusedError."""
        return load_rules(text, promises=self.promises, owners=self.routes.owners, things=things(self.routes.owned))


def unavailable(request: AnyRequest, error: StoreUnavailableError) -> Response[Any]:
    return _problem(request, 503, "unavailable", "The store of alerts does not answer", str(error))


def rule_refused(request: AnyRequest, error: RulesRefusedError) -> Response[Any]:
    return _problem(request, 400, "rule-refused", "The rule is refused", str(error))


def _problem(request: AnyRequest, status: int, kind: str, title: str, detail: str) -> Response[Any]:
    type_ = f"urn:tallytrace:problem:{kind}"
    return respond(Problem(type=type_, title=title, status=status, detail=detail, instance=request.url.path))


_ERRORS: Final[Any] = {
    HTTPException: refused, StoreUnavailableError: unavailable, RulesRefusedError: rule_refused,
}  # fmt: skip


def route_handlers(store: Store, clock: Callable[[], datetime]) -> list[HTTPRouteHandler]:
    """What is open, and silences: all that the store alone can answer."""

    @get("/v1/alerts", sync_to_thread=True, tags=["alerts"], exception_handlers=_ERRORS)
    def get_alerts(limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100) -> Alerts:
        """Open alerts and those resolved last, newest first."""
        return Alerts(
            as_of=clock(),
            open=_views(store, store.open_alerts(limit=limit)),
            recent=_views(store, store.resolved_alerts(limit=limit)),
            runs=tuple(store.last_runs()),
        )

    @get("/v1/alerts/{alert_id:str}", sync_to_thread=True, tags=["alerts"], exception_handlers=_ERRORS)
    def get_alert(request: AnyRequest, alert_id: FromPath[str]) -> Response[AlertView]:
        """One alert, with everyone who was told of it."""
        alert = store.alert(alert_id)
        if alert is None:
            return not_found(request, f"No alert is named {alert_id!r}.")
        return Response(_views(store, [alert])[0])

    @get("/v1/silences", sync_to_thread=True, tags=["alerts"], exception_handlers=_ERRORS)
    def get_silences(
        active: FromQuery[bool] = False, limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100
    ) -> list[Silence]:
        """Silences and maintenance windows, the newest first, with how many alerts each has hidden."""
        return store.silences(clock(), active_only=active, limit=limit)

    @post("/v1/silences", status_code=200, sync_to_thread=True, tags=["alerts"], exception_handlers=_ERRORS)
    def add_silence(request: AnyRequest, data: JSONBody[Wanted]) -> Response[Hidden]:
        """Hide what matches until then; judging goes on, and what is over is always told. Told is what it hides."""
        now = clock()
        why, field = fault(data, now)
        if why:
            return _problem(request, 400, "silence-refused", "The silence is refused", f"{field}: {why}")
        hides = [one for one in store.open_alerts(limit=MOST_HIDDEN) if matches(data.match, labels(one))]
        made = None if data.dry_run else store.add_silence(data, now)
        return Response(Hidden(silence_id=made, hides=tuple(hides)))

    @delete("/v1/silences/{silence_id:int}", status_code=204, sync_to_thread=True, tags=["alerts"],
            exception_handlers=_ERRORS)  # fmt: skip
    def end_silence(silence_id: FromPath[int]) -> None:
        """End a silence now; one that is over or unknown stays as it is."""
        store.end_silence(silence_id, clock())

    return [get_alerts, get_alert, get_silences, add_silence, end_silence]


def desk_handlers(
    store: Store,
    samples: SampleReader,
    book: Book,
    teller: Teller,
    audit: Callable[[], Audit],
    clock: Callable[[], datetime],
    now: Callable[[], datetime],
) -> list[HTTPRouteHandler]:
    """What takes more than the store. ``clock`` is the wall's, ``now`` the business present."""

    @post("/v1/alerts/{alert_id:str}/ack", status_code=200, sync_to_thread=True, tags=["alerts"],
          exception_handlers=_ERRORS)  # fmt: skip
    def acknowledge(
        request: AnyRequest, alert_id: FromPath[str], data: JSONBody[Acknowledgement]
    ) -> Response[AlertView]:
        """Somebody is at it: nothing escalates, and everyone is reminded if it still fires then."""
        alert = store.alert(alert_id)
        if alert is None:
            return not_found(request, f"No alert is named {alert_id!r}.")
        at = clock()
        with store.desk() as desk:
            done = teller.acknowledge(desk, alert, data.by, data.note, _after(at, data.remind_after_seconds), at)
        if not done:
            return _problem(request, 409, "not-open", "The alert is not open", f"{alert_id} fires no more.")
        return Response(_views(store, [alert])[0])

    @get("/v1/alerts/rules", sync_to_thread=False, tags=["alerts"])
    def get_rules() -> list[RuleView]:
        """The rules, each with what it takes to fire."""
        return [RuleView(rule=rule, explained=explained(rule, book.promises)) for rule in book.rules]

    @post("/v1/alerts/test", status_code=200, sync_to_thread=True, tags=["alerts"], exception_handlers=_ERRORS)
    def test_rule(request: AnyRequest, data: JSONBody[Asked]) -> Response[Backtest]:
        """When a rule would have fired over the measurements that are stored; nobody is told anything."""
        found = book.read(data.text) if data.text else [rule for rule in book.rules if rule.name == data.name]
        if len(found) != 1:
            names = ", ".join(rule.name for rule in book.rules)
            raise RulesRefusedError([Refusal(0, data.name, f"give one rule, by its text or its name: {names}")])
        rule = found[0]
        if sla_of(rule) in ("", EVERY):
            raise RulesRefusedError([Refusal(0, rule.name, "only a rule on one promise has measurements to replay")])
        return Response(_replayed(rule, book, samples, now(), data.since_seconds))

    @get("/v1/alerts/audit", sync_to_thread=True, tags=["alerts"], exception_handlers=_ERRORS)
    def get_audit() -> Audit:
        """Whether every alert has a next step, every message was tried and every rule was judged."""
        return audit()

    @get("/v1/alerts/missed", sync_to_thread=True, tags=["alerts"], exception_handlers=_ERRORS)
    def get_missed(limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100) -> list[RuleRun]:
        """The times that rules were not judged, newest first."""
        return store.missed_runs(limit=limit)

    @get("/v1/owners", sync_to_thread=False, tags=["alerts"])
    def get_owners(thing: Annotated[list[str] | None, QueryParameter()] = None) -> Ownership:
        """Owners with zone and contacts, and what each owns: APIs, events, master data, reconciliation rules.

        ``thing``, any number of times: whose is ``event:<type>``, ``api:<path>``, ``master_data:<name>``, …?
        """
        return owned(book.routes, thing or [])

    return [acknowledge, get_rules, test_rule, get_audit, get_missed, get_owners]


def owned(routes: Routes, asked: Collection[str]) -> Ownership:
    owns = {thing: owner_of(thing, routes.owned) for thing in sorted({*things(routes.owned), *asked})}
    return Ownership(
        fallback=routes.fallback,
        owners=routes.owners,
        owns={thing: owner for thing, owner in owns.items() if owner},
        unowned=tuple(thing for thing, owner in owns.items() if not owner),
    )


def _replayed(rule: AnyRule, book: Book, samples: SampleReader, now: datetime, since_seconds: float) -> Backtest:
    sla = sla_of(rule)
    since = now - timedelta(seconds=since_seconds)
    begins = since - timedelta(seconds=reach_back(rule))
    stored = samples.history(sla, begins, now, located="location" in rule.levels)
    found = replayed(rule, stored, since, now)
    return msgspec.structs.replace(found, explained=explained(rule, book.promises))


def _after(at: datetime, seconds: float) -> datetime:
    return at + timedelta(seconds=seconds)


def _views(store: Store, alerts: Sequence[Alert]) -> tuple[AlertView, ...]:
    ids = [alert.incident_id for alert in alerts if alert.incident_id]
    deliveries = store.deliveries_of(ids) if ids else []
    incidents = {one.incident_id: one for one in store.incidents_of(ids)} if ids else {}
    return tuple(
        AlertView(
            alert,
            tuple(each for each in deliveries if each.dedup_key == alert.incident_id),
            incidents.get(alert.incident_id),
        )
        for alert in alerts
    )
