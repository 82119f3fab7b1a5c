"""``tallytrace alerts …``: what fires, who is at it, what is hidden, whose things are, what a rule would do."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.table import Table

app: Final = typer.Typer(no_args_is_help=True, help="What fires, acknowledgement, silences, owners, and trying rules.")

By = Annotated[str, typer.Option(help="Who you are.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
REPLAY_SECONDS: Final = 600.0
UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@app.command("list")
def list_alerts(context: typer.Context, as_json: JsonOption = False) -> None:
    """What fires now and what is over, whose it is, and how far telling it has come.

    Example: tallytrace alerts list --json
    """
    from alerts.api import Alerts

    found = msgspec.json.decode(_get(context, "/v1/alerts"), type=Alerts)
    table = Table("alert", "of", "whose", "since", "at risk", "standing", box=None)
    for view in (*found.open, *found.recent):
        one, incident = view.alert, view.incident
        standing = "over" if one.resolved_at else one.hidden or (incident.standing if incident else "") or "told"
        worth = " + ".join(map(str, one.at_risk))
        table.add_row(one.alert_id, one.place or one.level, one.owner, f"{one.opened_at:%m-%d %H:%M}", worth, standing)
    _show(found, table, as_json)


@app.command("ack")
def acknowledge(
    context: typer.Context,
    alert_id: Annotated[str, typer.Argument(help="As alerts list names it.")],
    by: By,
    note: Annotated[str, typer.Option(help="What you do about it.")],
    remind_after: Annotated[str, typer.Option(help="Everyone is reminded if it still fires then.")] = "1h",
) -> None:
    """Say that you are at it: nothing escalates until the reminder.

    Example: tallytrace alerts ack a1f4917e62a5 --by ann --note "the bank sends again" --remind-after 2h
    """
    wanted = {"by": by, "note": note, "remind_after_seconds": seconds(remind_after)}
    _post(context, f"/v1/alerts/{alert_id}/ack", wanted)


@app.command("silence")
def silence(
    context: typer.Context,
    match: Annotated[list[str], typer.Argument(help="field=value[,value]: rule, owner, channel, severity, …, text.")],
    for_: Annotated[str, typer.Option("--for", help="30m, 4h, 2d.")],
    by: By,
    reason: Annotated[str, typer.Option(help="Why; kept for ever.")],
    maintenance: Annotated[bool, typer.Option("--maintenance", help="It is an announced maintenance window.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would hide now.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Keep what matches from being told for a while; judging goes on, and what is over is always told.

    Example: tallytrace alerts silence channel=web --for 2h --by ann --reason "the shop moves" --dry-run
    """
    from alerts.api import Hidden
    from tallytrace.cli import refuse

    fields: dict[str, Any] = {}
    for part in match:
        field, equals, value = part.partition("=")
        if not equals:
            refuse(f"{part}: give field=value")
        fields[field] = value if field == "text" else value.split(",")
    wanted = {
        "match": fields,
        "ends_at": (datetime.now(UTC) + timedelta(seconds=seconds(for_))).isoformat(),
        "by": by,
        "reason": reason,
        "kind": "maintenance" if maintenance else "silence",
        "dry_run": dry_run,
    }
    hidden = msgspec.json.decode(_post(context, "/v1/silences", wanted), type=Hidden)
    table = Table(f"hides {len(hidden.hides)} open alerts", "of", "whose", box=None)
    for one in hidden.hides:
        table.add_row(one.alert_id, one.place, one.owner)
    _show(hidden, table, as_json)


@app.command("silences")
def silences(context: typer.Context, as_json: JsonOption = False) -> None:
    """Silences and maintenance windows, with who, why, until when, and how many alerts each has hidden.

    Example: tallytrace alerts silences --json
    """
    from alerts.silence import Silence

    found = msgspec.json.decode(_get(context, "/v1/silences"), type=list[Silence])
    table = Table("number", "kind", "until", "by", "why", "hid", box=None)
    for one in found:
        table.add_row(
            str(one.silence_id), one.kind, f"{one.ends_at:%Y-%m-%d %H:%M}", one.author, one.reason, str(one.hid)
        )
    _show(found, table, as_json)


@app.command("rules")
def rules(context: typer.Context, as_json: JsonOption = False) -> None:
    """The rules, and what it takes for each to fire.

    Example: tallytrace alerts rules --json
    """
    from alerts.api import RuleView

    found = msgspec.json.decode(_get(context, "/v1/alerts/rules"), type=list[RuleView])
    table = Table("rule", "severity", "whose", "fires", box=None)
    for view in found:
        rule = view.rule
        table.add_row(rule.name, rule.severity, rule.owner or rule.about, view.explained)
    _show(found, table, as_json)


@app.command("owners")
def owners(
    context: typer.Context,
    things: Annotated[list[str] | None, typer.Argument(help="event:<type>, api:<path>, master_data:…; or all.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Who owns which API, event, kind of master data and reconciliation rule. Exit status 1: something has no owner.

    Example: tallytrace alerts owners event:tallytrace.order.captured master_data:product
    """
    from alerts.api import Ownership

    found = msgspec.json.decode(_get(context, "/v1/owners", thing=things or []), type=Ownership)
    table = Table("thing", "owner", "zone", "contacts", box=None)
    for thing in things or found.owns:
        owner = found.owners.get(found.owns.get(thing, ""))
        told = (owner.title, owner.zone, ", ".join(owner.contacts)) if owner else ("nobody", "", found.fallback)
        table.add_row(thing, *told)
    _show(found, table, as_json)
    if found.unowned:
        raise typer.Exit(1)


@app.command("test")
def try_rule(
    context: typer.Context,
    rule: Annotated[str, typer.Argument(help="Name of a rule, or a TOML file with one.")],
    since: Annotated[str, typer.Option(help="How far back: 12h, 30d.")] = "30d",
    as_json: JsonOption = False,
) -> None:
    """When a rule would have fired over the measurements that are stored; nobody is told anything.

    Example: tallytrace alerts test my_rule.toml --since 30d
    """
    from alerts.backtest import Backtest

    named = {"text": Path(rule).read_text(encoding="utf-8")} if Path(rule).is_file() else {"name": rule}
    wanted = {**named, "since_seconds": seconds(since)}
    answer = _post(context, "/v1/alerts/test", wanted, patience_seconds=REPLAY_SECONDS)
    found = msgspec.json.decode(answer, type=Backtest)
    table = Table("from", "until", "of", "why", title=found.explained, box=None)
    for one in found.fired:
        until = f"{one.until:%Y-%m-%d %H:%M}" if one.until else "still"
        table.add_row(f"{one.at:%Y-%m-%d %H:%M}", until, one.place, one.why)
    table.caption = f"{len(found.fired)} times, {found.pages} pages, over {found.measurements} measurements"
    _show(found, table, as_json)


@app.command("audit")
def audit(context: typer.Context, as_json: JsonOption = False) -> None:
    """Whether alerting does what it promises. Exit status 1 names what does not.

    Example: tallytrace alerts audit
    """
    from alerts.watch import Audit

    found = msgspec.json.decode(_get(context, "/v1/alerts/audit"), type=Audit)
    table = Table(f"{len(found.faults)} faults, {found.lost} messages lost in a day", box=None)
    for fault in found.faults:
        table.add_row(fault)
    _show(found, table, as_json)
    if not found.sound:
        raise typer.Exit(1)


def seconds(text: str) -> float:
    """``90s``, ``30m``, ``4h``, ``2d``. Refuses anything else."""
    from tallytrace.cli import refuse

    number, unit = text[:-1], text[-1:]
    if unit not in UNITS or not number.isdigit():
        refuse(f"{text}: give a length as 90s, 30m, 4h or 2d")
    return int(number) * UNITS[unit]


def _get(context: typer.Context, path: str, **params: Any) -> bytes:
    from tallytrace import remote, supervisor
    from tallytrace.cli import _refusals

    with _refusals(), supervisor.running(context.obj) as product:
        return remote.fetch(f"{product.plane_url}{path}", **params)


def _post(context: typer.Context, path: str, wanted: dict[str, Any], *, patience_seconds: float = 60) -> bytes:
    from tallytrace import remote, supervisor
    from tallytrace.cli import _refusals

    with _refusals(), supervisor.running(context.obj) as product:
        return remote.send(f"{product.plane_url}{path}", wanted, timeout_seconds=patience_seconds)


def _show(value: Any, table: Table, as_json: bool) -> None:
    from tallytrace.cli import out

    out.print_json(msgspec.json.encode(value).decode()) if as_json else out.print(table)
