"""What fires, who is at it, what is hidden from whom, and what was told?"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from dash import html
from dash.development.base_component import Component
from msgspec import Struct

from dashboards import addresses, wording
from dashboards.acts import Act
from dashboards.addresses import Desk
from dashboards.answers import Alert, Alerts, AlertView, Backtest, RuleView, Silence
from dashboards.elements import (
    Child,
    Choice,
    Column,
    Content,
    Page,
    act_button,
    choices,
    computed,
    facts,
    icon,
    link,
    mark,
    moment,
    monies,
    notice,
    section,
    table,
)
from dashboards.remote import RefusedError, Remote
from dashboards.wording import State

READ: Final = 500
WEEKS: Final = 4
EVERY: Final = "*"
"""The promise of a rule that is on all of them, which is not replayed; neither is one on none."""
VIEWS: Final = {"": "Firing", "acknowledged": "Acknowledged", "silenced": "Not told", "history": "History",
                "rules": "Rules"}  # fmt: skip
SEVERITIES: Final = {
    "critical": State("Critical", "cross", "bad"),
    "major": State("Major", "warning", "warn"),
    "minor": State("Minor", "ring", "quiet"),
    "record": State("Only recorded", "ring", "quiet"),
}


REPLAYS: Final = (1, 7, 30, 90)
REPLAYED_DAYS: Final = 7
"""Days that a rule is replayed over, and those that it is when nothing is said."""
MOST_FIRED: Final = 200


class Answers(Struct, frozen=True, kw_only=True):
    """``replay``: what a rule would have done, or why it cannot be told."""

    alerts: Alerts
    silences: list[Silence]
    rules: list[RuleView]
    one: AlertView | None
    replay: Backtest | str | None = None


def ask(desk: Desk, plane: Remote) -> Answers:
    one: AlertView | None = None
    if desk["id"]:
        try:
            one = plane.get(f"/v1/alerts/{desk['id']}", AlertView)
        except RefusedError:
            one = None
    return Answers(
        alerts=plane.get("/v1/alerts", Alerts, limit=READ),
        silences=plane.get("/v1/silences", list[Silence], active=True),
        rules=plane.get("/v1/alerts/rules", list[RuleView]) if desk["view"] == "rules" else [],
        one=one,
        replay=_replay(desk, plane) if desk["view"] == "rules" and desk["rule"] else None,
    )


def _replay(desk: Desk, plane: Remote) -> Backtest | str:
    asked = {"name": desk["rule"], "since_seconds": _days(desk) * 86_400}
    try:
        return plane.post("/v1/alerts/test", asked, Backtest)
    except RefusedError as refused:
        return str(refused)


def _days(desk: Desk) -> int:
    return next((days for days in REPLAYS if f"{days}" == desk["days"]), REPLAYED_DAYS)


def page(desk: Desk, told: Answers, now: datetime) -> Page:
    now = told.alerts.as_of  # alerts are of the wall clock, whatever the business present is
    if desk["id"]:
        return _one(desk, told.one, now)
    view = desk["view"] if desk["view"] in VIEWS else ""
    shown = [one for one in _of(view, told.alerts) if desk["owner"] in ("", one.alert.told)]
    if view == "rules":
        listed: list[Component | None] = [_replayed(desk, told, now), _rules(desk, told.rules)]
    else:
        listed = [_list(desk, view, shown, now)]
    listed += [_silences(told.silences, told.alerts.open, now)] if view == "silenced" else []
    listed += [_weeks(told.alerts, now)] if view == "history" else []
    body = html.Div(
        [
            html.Div(
                [html.H1("Alerts"), html.P(summary(told, now), className="lead")],
                className="page-head",
            ),
            choices("Views", _views(desk, view, told), css="tabs"),
            _owners(desk, view, told) if view != "rules" else None,
            *listed,
        ]
    )
    return Page("Alerts", body)


def _of(view: str, alerts: Alerts) -> Sequence[AlertView]:
    match view:
        case "acknowledged":
            return [one for one in alerts.open if not one.alert.hidden and _taken(one)]
        case "silenced":
            return [one for one in alerts.open if one.alert.hidden]
        case "history":
            return alerts.recent
        case _:
            return [one for one in alerts.open if not one.alert.hidden and not _taken(one)]


def _taken(one: AlertView) -> bool:
    return bool(one.incident and one.incident.acknowledged_at)


def summary(told: Answers, now: datetime) -> str:
    firing, taken, hidden = (len(_of(view, told.alerts)) for view in ("", "acknowledged", "silenced"))
    worth = wording.added(amount for one in _of("", told.alerts) for amount in one.alert.at_risk)
    if not (firing or taken or hidden):
        return "Nothing fires, and nothing is hidden."
    risk = f", {wording.monies(worth)} at risk" if any(amount.amount_minor for amount in worth) else ""
    verb = "fires" if firing == 1 else "fire"
    return (
        f"{wording.count(firing, 'alert')} {verb} and nobody has taken {'it' if firing == 1 else 'them'} on{risk}. "
        f"{taken:,} acknowledged, {hidden:,} not told."
    )


def _views(desk: Desk, view: str, told: Answers) -> list[Choice]:
    counts = {key: f"{len(_of(key, told.alerts)):,}" for key in ("", "acknowledged", "silenced")}
    return [Choice(title, addresses.desk(desk.name, view=key, owner=desk["owner"]), key == view, counts.get(key, ""))
            for key, title in VIEWS.items()]  # fmt: skip


def _owners(desk: Desk, view: str, told: Answers) -> Component | None:
    counts: dict[str, int] = {}
    for one in _of(view, told.alerts):
        counts[one.alert.told] = counts.get(one.alert.told, 0) + 1
    if len(counts) < 2 and not desk["owner"]:
        return None
    every = Choice("Any owner", desk.but(owner=""), not desk["owner"])
    named = [Choice(name, desk.but(owner=name), desk["owner"] == name, f"{number:,}")
             for name, number in sorted(counts.items())]  # fmt: skip
    return html.Div(choices("By owner", [every, *named]), className="filters")


EMPTY: Final = {
    "": "Nothing fires that nobody has taken on.",
    "acknowledged": "Nobody is at an alert at the moment.",
    "silenced": "Every alert that fires is told.",
    "history": "No alert has been over yet.",
}


def _list(desk: Desk, view: str, shown: Sequence[AlertView], now: datetime) -> Component:
    columns = [Column("What"), Column("Severity"), Column("Over" if view == "history" else "For", True),
               Column("At risk", True), Column("Owner"), Column("Standing")]  # fmt: skip
    rows = [_row(desk, one, now) for one in shown]
    return section(
        VIEWS[view],
        table(f"Alerts: {VIEWS[view].lower()}", columns, rows, empty=EMPTY[view]),
        computed("Rules (alerts/rules.toml and yours) are judged over the measurements that the tiles show. "
                 "An alert opens when its condition has held for as long as its rule says, and is over when it no "
                 "longer holds. The view Rules says of each what it takes.", watermark=moment(now, now)),
        note="Newest first",
    )  # fmt: skip


def _row(desk: Desk, one: AlertView, now: datetime) -> list[Content]:
    alert = one.alert
    when: Content = moment(alert.resolved_at, now) if alert.resolved_at else wording.age(alert.opened_at, now)
    return [
        [link(wording.sentence(alert.summary), desk.but(id=alert.alert_id)),
         html.Div(" · ".join(part for part in (alert.place, alert.reason) if part), className="sub")],
        mark(SEVERITIES.get(alert.severity, State(alert.severity, "ring", "quiet"))),
        when,
        monies(alert.at_risk),
        alert.told or alert.owner,
        standing(one),
    ]  # fmt: skip


def standing(one: AlertView) -> str:
    alert, incident = one.alert, one.incident
    if alert.resolved_at:
        return alert.resolved_reason or "over"
    if alert.hidden:
        return f"not told: {alert.hidden}"
    if incident and incident.acknowledged_at:
        return f"{incident.acknowledged_by} is at it{f': {incident.note}' if incident.note else ''}"
    told = [each for each in one.deliveries if each.state == "delivered"]
    return f"told {wording.count(len(told), 'time')}" if told else (incident.standing if incident else "not told yet")


# --- what is hidden -------------------------------------------------------------------------------------------------


def _silences(silences: Sequence[Silence], opened: Iterable[AlertView], now: datetime) -> Component:
    columns = [Column("What it hides"), Column("Until", True), Column("By whom"), Column("Why"), Column("Hides now"),
               Column("Hid so far", True), Column("")]  # fmt: skip
    alerts = [one.alert for one in opened]
    rows = [_silence_row(one, alerts, now) for one in silences]
    return section("Silences", table("Silences that are active", columns, rows, empty="Nothing is silenced."),
                   note="What each hides at the moment")  # fmt: skip


def _silence_row(one: Silence, alerts: Sequence[Alert], now: datetime) -> list[Content]:
    named = {name: values for name, values in one.match.items() if values}
    said = "; ".join(
        f"{name} {', '.join(map(str, values)) if isinstance(values, list) else values}"
        for name, values in named.items()
    )
    hides = ", ".join(f"{alert.summary} ({alert.place or 'everywhere'})" for alert in alerts if matches(one, alert))
    act = Act(deed="alerts.unsilence", about=f"Silence of {said}", ids=(str(one.silence_id),))
    return [
        wording.sentence(said), moment(one.ends_at, now), one.author, one.reason,
        hides or "nothing that fires now",
        f"{one.hid:,}", act_button("End", act, quiet=True),
    ]  # fmt: skip


def matches(one: Silence, alert: Alert) -> bool:
    """Whether an alert is hidden by it, by the labels that both have; an expression over its text is not read here."""
    labels = {"rule": alert.rule, "owner": alert.owner, "channel": alert.channel, "location": alert.location,
              "provider": alert.provider, "severity": alert.severity, "subject": alert.subject}  # fmt: skip
    asked = {name: values for name, values in one.match.items() if values and name in labels}
    return all(isinstance(values, list) and labels[name] in values for name, values in asked.items())


# --- history and rules ----------------------------------------------------------------------------------------------


def _weeks(alerts: Alerts, now: datetime) -> Component:
    """Messages that owners were sent, by week: who is woken too often."""
    begins = [now - timedelta(days=7 * (week + 1)) for week in range(WEEKS)]
    counts: dict[str, list[int]] = {}
    seen: set[tuple[str, str, str]] = set()
    for one in (*alerts.open, *alerts.recent):
        for sent in one.deliveries:
            owner = one.incident.told_owner if one.incident else one.alert.told
            key = (sent.dedup_key, sent.contact, str(sent.created_at))
            if sent.transition not in ("page", "escalate", "remind") or key in seen:
                continue
            seen.add(key)
            week = next((number for number, start in enumerate(begins) if sent.created_at > start), None)
            if week is not None:
                counts.setdefault(owner, [0] * WEEKS)[week] += 1
    columns = [Column("Owner"), Column("This week", True), *[Column(f"{week} back", True) for week in range(1, WEEKS)]]
    rows: list[list[Content]] = [
        [html.B(owner), *[f"{number:,}" for number in weeks]] for owner, weeks in sorted(counts.items())
    ]
    return section("Pages per owner and week", table("Pages by owner and week", columns, rows,
                                                     empty="Nobody was paged."),
                   note=f"Of the last {READ} alerts")  # fmt: skip


def _rules(desk: Desk, rules: Sequence[RuleView]) -> Component:
    columns = [
        Column("Rule"),
        Column("Severity"),
        Column("Owner"),
        Column("Fires when", prose=True),
        Column("Over the past"),
    ]
    rows = [_rule_row(desk, one) for one in rules]
    return section("Rules", table("Alert rules", columns, rows, empty="No rule is loaded."))


def _rule_row(desk: Desk, one: RuleView) -> list[Content]:
    name, promise = str(one.rule.get("name", "")), str(one.rule.get("sla", EVERY))
    summary = wording.sentence(str(one.rule.get("summary", "")))
    return [
        [html.B(wording.sentence(wording.plain(name))), html.Div(summary, className="sub")],
        mark(SEVERITIES.get(str(one.rule.get("severity")), SEVERITIES["minor"])),
        str(one.rule.get("owner") or "whose it concerns"),
        wording.sentence(one.explained),
        link("Replay", desk.but(rule=name)) if promise != EVERY else wording.DASH,
    ]


def _replayed(desk: Desk, told: Answers, now: datetime) -> Component | None:
    """When the rule that is asked for would have fired; nobody is told."""
    if told.replay is None:
        return None
    days = [Choice(wording.count(each, "day"), desk.but(days=f"{each}"), each == _days(desk)) for each in REPLAYS]
    said = told.replay
    shown = [html.P(f"{wording.sentence(said)}.")] if isinstance(said, str) else _firings(said, now)
    explained = next((one.explained for one in told.rules if one.rule.get("name") == desk["rule"]), "")
    return section(
        f"{wording.sentence(wording.plain(desk['rule']))}: over the past",
        html.Div(choices("Days that the rule is replayed over", days), className="filters"),
        html.P(f"Fires when {explained}.", className="more") if explained else None,
        *shown,
        computed("The rule as it is now, judged again at every stored measurement of its promise. Places of a channel "
                 "that fire at the same time are one page, and so is what spreads from there.",
                 f"On a terminal, also for a rule that is not loaded yet: tallytrace alerts test {desk['rule']} "
                 f"--since {_days(desk)}d"),
        note="Nobody is told",
    )  # fmt: skip


def _firings(replay: Backtest, now: datetime) -> list[Child]:
    columns = [Column("From"), Column("Until"), Column("For"), Column("Where"), Column("Why", prose=True),
               Column("At risk", True), Column("Page")]  # fmt: skip
    rows: list[list[Content]] = [
        [moment(one.at, now), moment(one.until, now) if one.until else "still fires",
         wording.duration(((one.until or replay.until) - one.at).total_seconds()), wording.sentence(one.place),
         one.why, monies(one.at_risk), "yes" if one.page else "with another"]
        for one in reversed(replay.fired[-MOST_FIRED:])
    ]  # fmt: skip
    times = wording.count(len(replay.fired), "time")
    said = (
        f"It would have fired {times} and paged {wording.count(replay.pages, 'time')}, over "
        f"{wording.count(replay.measurements, 'measurement')}."
    )
    cut = f" The last {MOST_FIRED} are listed." if len(replay.fired) > MOST_FIRED else ""
    listed = table("Times that the rule would have fired, the last first", columns, rows)
    return [html.P(said + cut, className="lead"), listed if rows else None]


# --- one of them ----------------------------------------------------------------------------------------------------


def _one(desk: Desk, one: AlertView | None, now: datetime) -> Page:
    if one is None:
        lost = notice("No such alert", html.P([html.Code(desk["id"]), " is not known. ",
                                               link("To what fires", addresses.desk(desk.name))]))  # fmt: skip
        return Page("No such alert", lost)
    alert = one.alert
    title = wording.sentence(alert.summary)
    state = State("Over", "check", "good") if alert.resolved_at else SEVERITIES.get(alert.severity, SEVERITIES["minor"])
    body = html.Div(
        [
            html.Div(
                [
                    html.P([link("Alerts", addresses.desk(desk.name)), html.Span(" / ", className="faint"), title],
                           className="crumbs"),
                    html.Div([html.H1(title), mark(state)], className="title-row"),
                    html.P(" · ".join(part for part in (alert.place, alert.reason) if part), className="lead"),
                    _facts(one, now),
                ],
                className="page-head",
            ),
            _do(alert) if not alert.resolved_at else None,
            section("Do next", html.P(alert.next_step), note=_look(alert)),
            _told(one, now),
        ]
    )  # fmt: skip
    return Page(title, body)


def _look(alert: Alert) -> Component:
    if alert.sla:
        return link("The promise and its items", addresses.promise(alert.sla, alert.channel))
    kind = alert.subject.removeprefix("exception:") if alert.subject.startswith("exception:") else ""
    return link("The exceptions", addresses.desk("exceptions", kind=kind))


def _facts(one: AlertView, now: datetime) -> Component:
    alert, incident = one.alert, one.incident
    return facts(
        [
            ("At risk", monies(alert.at_risk) if alert.at_risk else ""),
            ("Overdue", f"{alert.overdue_open:,}" if alert.overdue_open else ""),
            ("Owner", html.Span([icon("person"), alert.told or alert.owner], className="owner")),
            ("Fires since", moment(alert.opened_at, now)),
            ("Over since", moment(alert.resolved_at, now) if alert.resolved_at else ""),
            ("Standing", standing(one)),
            ("Next message", moment(incident.next_at, now) if incident and incident.next_at else ""),
        ],
        css="facts row",
    )


def _do(alert: Alert) -> Component:
    about = f"{wording.sentence(alert.summary)}, {alert.place or 'everywhere'}"
    where = {"rule": alert.rule, "channel": alert.channel, "location": alert.location, "provider": alert.provider,
             "subject": alert.subject}  # fmt: skip
    labels = {name: value for name, value in where.items() if value}
    return html.Div(
        [act_button("Acknowledge", Act(deed="alerts.acknowledge", about=about, ids=(alert.alert_id,))),
         act_button("Silence", Act(deed="alerts.silence", about=about, where=labels))],
        className="acts",
    )  # fmt: skip


def _told(one: AlertView, now: datetime) -> Component:
    columns = [Column("When"), Column("What"), Column("To"), Column("Came through"), Column("Attempts", True)]
    rows: list[list[Content]] = [
        [moment(sent.created_at, now), sent.transition, sent.contact,
         mark(State("delivered", "check", "good") if sent.state == "delivered" else State(sent.state, "clock", "warn")),
         f"{sent.attempts:,}"]
        for sent in one.deliveries
    ]  # fmt: skip
    return section("Who was told", table("Messages, the first first", columns, rows, empty="Nobody was told of it."),
                   note=one.alert.hidden or None)  # fmt: skip
