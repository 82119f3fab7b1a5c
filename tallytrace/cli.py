"""The command line: arguments in, one call, exit status out.

Each command imports what it runs: all of it takes two seconds, ``--help`` and a child of the supervisor a third of one.
"""

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn
from urllib.parse import quote

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from alerts.routing import RoutesRefusedError
from alerts.rulebook import RulesRefusedError
from collector.retention import RetentionError
from lineage.definitions import DefinitionError
from tallytrace import alerts_cli
from tallytrace.errors import RefusedError
from tallytrace.estate.kinds import WHAT
from tallytrace.settings import Settings, describe, load

if TYPE_CHECKING:
    from tallytrace.supervisor import Product

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
out: Final = Console(soft_wrap=True, highlight=False)
err: Final = Console(stderr=True, highlight=False)


class Bench(StrEnum):
    """What is measured."""

    ALL = "all"
    REPLAY = "replay"
    COLLECTOR = "collector"
    CORE = "core"
    SETTLEMENTS = "settlements"
    QUERY = "query"
    PAGES = "pages"


class Action(StrEnum):
    """What is done about an exception."""

    ASSIGN = "assign"
    RESOLVE = "resolve"
    REPLAY = "replay"
    COMPENSATE = "compensate"


class Severity(StrEnum):
    """How bad an exception is."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.callback()
def _all(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="tallytrace.toml to read; default: in TALLYTRACE_HOME, else here.")
    ] = None,
) -> None:
    """From till to ledger: every hop of every retail transaction, found by any ID, judged at its deadline."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for chatty in ("httpx", "httpcore", "apscheduler", "a2wsgi"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    with _refusals():
        context.obj = load(os.environ, config)


@app.command()
def serve(
    context: typer.Context,
    which: Annotated[str, typer.Argument(help="core, plane or worker-<number>: only that process.")] = "",
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
) -> None:
    """Run the product until Ctrl-C: PostgreSQL if none is named, workers, core and plane.

    Examples: tallytrace serve; TALLYTRACE_HOME=/srv/tallytrace tallytrace serve; tallytrace serve plane
    """
    from tallytrace import role

    settings = _settings(context)
    with _refusals():
        match which:
            case "core" | "plane":
                role.run(which, settings, supervised=supervised)
            case "":
                from tallytrace import supervisor

                supervisor.serve(settings, role.stop_event(), _say_where)
            case _ if re.fullmatch(r"worker-[1-9]\d{0,4}", which):
                role.run(which, settings, supervised=supervised)
            case _:
                refuse(f"serve what? core, plane or worker-<number>, not {which}")


@app.command()
def migrate(context: typer.Context) -> None:
    """Bring both databases to the schema of this version.

    Example: TALLYTRACE_POSTGRES_URL=postgresql://db/tally tallytrace migrate
    """
    from tallytrace import migrate as migration

    with _refusals():
        for schema, applied in migration.run(_settings(context)).items():
            out.print(f"{schema:<16} {applied} applied")


keys_app: Final = typer.Typer(no_args_is_help=True, help="Keys of those who send spans from other machines.")
app.add_typer(keys_app, name="keys")
app.add_typer(alerts_cli.app, name="alerts")


@keys_app.command("add")
def add_key(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Who sends with it; shown in messages and figures.")],
    spans_per_second: Annotated[float | None, typer.Option(min=1, help="More is asked to wait; default: none.")] = None,
    bytes_per_second: Annotated[float | None, typer.Option(min=1, help="After decompression; default: none.")] = None,
) -> None:
    """Make a key and print it: the only time it is told. It counts within a second.

    Example: tallytrace keys add pos-london --spans-per-second 5000
    """
    from tallytrace import keys

    with _refusals():
        out.print(
            keys.add(_settings(context), name, spans_per_second=spans_per_second, bytes_per_second=bytes_per_second),
            soft_wrap=True,
        )


@keys_app.command("list")
def list_keys(context: typer.Context, as_json: JsonOption = False) -> None:
    """List who has a key and what it may send; the keys themselves are not kept."""
    from tallytrace import keys

    with _refusals():
        known = keys.read(_settings(context))
    if as_json:
        out.print_json(msgspec.json.encode([msgspec.structs.replace(key, sha256="") for key in known]).decode())
        return
    table = Table("name", "made", "spans/s", "bytes/s", box=None)
    for key in known:
        limits = [f"{limit:,.0f}" if limit else "any" for limit in (key.spans_per_second, key.bytes_per_second)]
        table.add_row(key.name, f"{key.created_at:%Y-%m-%d %H:%M}", *limits)
    out.print(table)


@keys_app.command("remove")
def remove_key(context: typer.Context, name: Annotated[str, typer.Argument(help="As given to keys add.")]) -> None:
    """Withdraw a key: what is sent with it is refused from the next second on."""
    from tallytrace import keys

    with _refusals():
        keys.remove(_settings(context), name)


@app.command("settings")
def show_settings(context: typer.Context, as_json: JsonOption = False) -> None:
    """List every setting: its name, its variable, its default and what it means.

    Examples: tallytrace settings; tallytrace settings --json (as they are, from file and environment)
    """
    if as_json:
        out.print_json(msgspec.json.encode(_settings(context)).decode())
        return
    table = Table("setting", "variable", "default", "meaning", box=None)
    for row in describe():
        table.add_row(row.name, row.variable, row.default, row.meaning)
    out.print(table)


@app.command("replay")
def replay_file(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Online Retail CSV, gzipped or plain.")],
    until_now: Annotated[
        bool, typer.Option("--until-now", help="Shift all times by whole weeks so that the file ends in the present.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a file of real trade through the whole product. Running it again changes nothing.

    Example: tallytrace replay online_retail.csv.gz
    """
    from tallytrace import replay

    with _refusals():
        outcome = replay.run(_settings(context), file, until_now=until_now, console=err)
        if as_json:
            out.print_json(msgspec.json.encode(outcome).decode())
        else:
            replay.report(outcome, out)
        if outcome.file.error:
            after = "what stands before it is kept, nothing after it was read; mend it and replay the file again"
            typer.echo(f"tallytrace: {outcome.file.error}; {after}", err=True)
            raise typer.Exit(1)


@app.command("faults")
def plant_faults(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Online Retail CSV, gzipped or plain.")],
    seed: Annotated[int, typer.Option(help="Which faults, and where.")] = 1,
    clean: Annotated[bool, typer.Option("--clean", help="Plant none: everything must agree.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Replay a file with payouts, bank entries and lists made up for it, five faults of ten kinds planted into them.

    Exit status 1 unless each is named with its cause and transaction, and nothing else is. Needs a home of its own.
    Example: TALLYTRACE_HOME=/tmp/faults tallytrace faults online_retail.csv.gz --seed 7
    """
    from tallytrace import settled

    with _refusals():
        try:
            report = settled.run(_settings(context), file, None if clean else seed, err)
        except ValueError as error:
            refuse(str(error))
    out.print_json(msgspec.json.encode(report).decode()) if as_json else settled.show(report, out)
    if not report.verdict.passed:
        raise typer.Exit(1)


@app.command("verify")
def verify_books(
    context: typer.Context,
    by_kind: Annotated[bool, typer.Option("--by-kind", help="Also print lines, units and money by kind.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Set stock counters to what their movements say; asks first.")
    ] = False,
    by: Annotated[str, typer.Option(help="Who repairs.")] = "",
    reason: Annotated[str, typer.Option(help="Why; kept for ever.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Audit everything: journals, counters, stock, and that every committed hop is stored exactly once.

    Example: tallytrace verify --repair --by ann --reason "restored from a backup"
    """
    from tallytrace import supervisor, verify

    if repair and not (by and reason):
        refuse("a repair needs --by and --reason: who, and why")
    with _refusals(), supervisor.running(_settings(context)) as product:
        if repair:
            _repair(product, by, reason, yes=yes)
        report = verify.run(product)
    if as_json:
        out.print_json(msgspec.json.encode(report).decode())
    else:
        verify.show(report, out, by_kind=by_kind)
    if not report.sound:
        raise typer.Exit(1)


def _repair(product: "Product", by: str, reason: str, *, yes: bool) -> None:
    """Show what differs, ask, and say what became of it."""
    from tallytrace import verify

    wrong = verify.drifts(product)
    for one in wrong:
        err.print(f"would set {verify.in_words(one.sku, one.location, one.kept, one.told)}", markup=False)
    if not wrong or not (yes or typer.confirm(f"Repair {len(wrong)} of them?", err=True)):
        return
    repaired = verify.repair(product, wrong, by=by, reason=reason)
    for done in repaired:
        err.print(f"repaired  {verify.in_words(done.sku, done.location, done.before, done.after)}", markup=False)
    left = {(one.sku, one.location) for one in wrong} - {(one.sku, one.location) for one in repaired}
    for sku, location in sorted(left):
        err.print(
            f"not repaired: {sku} at {location}; see tallytrace exceptions --kind movements_damaged", markup=False
        )


@app.command("trace")
def trace_id(
    context: typer.Context,
    any_id: Annotated[str, typer.Argument(metavar="ID", help="Order, return, payment, journal, … or trace ID.")],
    as_json: JsonOption = False,
) -> None:
    """Tell the whole story behind any ID. Example: tallytrace trace 537681"""
    from lineage.text import answer, read_answer
    from tallytrace import look, supervisor

    with _refusals(), supervisor.running(_settings(context)) as product:
        status, body = look.up(product, any_id)
    if as_json:
        out.print_json(body.decode())
    else:
        out.print(answer(read_answer(any_id, status, body)))
    if status == 404:
        raise typer.Exit(1)


@app.command("find")
def find_transactions(
    context: typer.Context,
    criteria: Annotated[
        list[str], typer.Argument(help="name=value: channel, location, sku, state, owner, hop, outcome, since, ...")
    ],
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    as_json: JsonOption = False,
) -> None:
    """Find transactions by what any of their hops says, the latest first.

    Example: tallytrace find channel=web outcome=rejected owner=finance since=2026-11-01T00:00:00Z
    """
    from tallytrace import look, remote, supervisor

    asked: dict[str, Any] = dict(one.partition("=")[::2] for one in criteria)
    with _refusals(), supervisor.running(_settings(context)) as product:
        body = remote.fetch(f"{product.plane_url}/v1/search", limit=limit, **asked)
    out.print_json(body.decode()) if as_json else out.print(look.found(body))


@app.command("wrong")
def show_wrong(
    context: typer.Context,
    owner: Annotated[str, typer.Option(help="Only what is theirs.")] = "",
    kind: Annotated[str, typer.Option(help="failed, stuck, overdue, out_of_order or missing.")] = "",
    hop: Annotated[str, typer.Option(help="Show instead what this failing hop holds up.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Show what failed, is stuck, late, out of order or never came, and where it broke; or what a hop holds up.

    Examples: tallytrace wrong --owner finance; tallytrace wrong --hop posting.send
    """
    from tallytrace import look, remote, supervisor

    with _refusals(), supervisor.running(_settings(context)) as product:
        if hop:
            body = remote.fetch(f"{product.plane_url}/v1/blast-radius", hop=hop)
        else:
            chosen: dict[str, Any] = {"kind": kind} if kind else {}
            body = remote.fetch(f"{product.plane_url}/v1/findings", owner=owner, **chosen)
    out.print_json(body.decode()) if as_json else out.print(look.radius(body) if hop else look.wrong(body))


@app.command("sla")
def show_slas(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="One promise; without: all of them.")] = "",
    as_json: JsonOption = False,
    openslo: Annotated[bool, typer.Option("--openslo", help="Print all as OpenSLO v1 documents.")] = False,
    day: Annotated[str, typer.Option(help="Report on the windows that ended with this day, as YYYY-MM-DD.")] = "",
    known_at: Annotated[str, typer.Option(help="With --day: as it was known at this time.")] = "",
    brand: Annotated[str, typer.Option(help="Only of this brand.")] = "",
    channel: Annotated[str, typer.Option(help="Only of this channel.")] = "",
    location: Annotated[str, typer.Option(help="With --channel: only of this location.")] = "",
) -> None:
    """Show the promises as they were measured last, the worst first; or a report of a day, as it was known then.

    Examples: tallytrace sla --channel web; tallytrace sla refund_to_ledger --json; tallytrace sla --day 2026-11-20
    """
    from lineage.model import SlaTile
    from lineage.text import tiles
    from tallytrace import look, remote, supervisor

    place = {key: value for key, value in {"brand": brand, "channel": channel, "location": location}.items() if value}
    if place and (day or openslo):
        refuse("--brand, --channel and --location are for what was measured last; a report has every place")
    asked: dict[str, Any] = {"day": day} | ({"known_at": known_at} if known_at else {}) if day else place
    path = "export/openslo" if openslo else "reports/slas" if day else f"slas{'/' if name else ''}{name}"
    with _refusals(), supervisor.running(_settings(context)) as product:
        body = remote.fetch(f"{product.plane_url}/v1/{path}", **asked)
    if openslo:
        out.print(body.decode(), end="", markup=False, highlight=False, soft_wrap=True)
    elif day and not as_json:
        out.print(look.report(body, name))
    elif as_json:
        out.print_json(body.decode())
    elif name:
        out.print(look.sla(body))
    else:
        out.print(tiles(msgspec.json.decode(body, type=list[SlaTile])))


@app.command("exceptions")
def show_exceptions(
    context: typer.Context,
    owner: Annotated[str, typer.Option(help="Only what this owner must decide.")] = "",
    kind: Annotated[str, typer.Option(help="Only of this kind.")] = "",
    severity: Annotated[Severity | None, typer.Option(help="Only as bad as this.")] = None,
    history: Annotated[str, typer.Option(metavar="ID", help="Who did what about this one, and why.")] = "",
    resolved: Annotated[bool, typer.Option("--resolved", help="What was decided, instead of what is open.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List what a person must decide, oldest first. What to do about it: tallytrace act.

    Examples: tallytrace exceptions --owner finance; tallytrace exceptions --kind backorder --json
    """
    from tallytrace import look, remote, supervisor

    asked: dict[str, Any] = {"owner": owner, "kind": kind, "severity": severity or "", "limit": 1000}
    with _refusals(), supervisor.running(_settings(context)) as product:
        url = f"{product.core_url}/v1/exceptions"
        if history:
            body = remote.fetch(f"{url}/history", id=history)
        else:
            body = remote.fetch(url, **asked, state="resolved" if resolved else "open")
    if as_json:
        out.print_json(body.decode())
    else:
        out.print(look.history(body) if history else look.exceptions(body))


@app.command("act")
def act_on_exceptions(
    context: typer.Context,
    action: Annotated[Action, typer.Argument(help="assign, resolve, replay or compensate.")],
    by: Annotated[str, typer.Option(help="Who you are.")],
    reason: Annotated[str, typer.Option(help="Why; kept for ever.")],
    ids: Annotated[list[str] | None, typer.Argument(help="Exceptions; without: all that the options find.")] = None,
    to: Annotated[str, typer.Option(help="Whom to assign it to.")] = "",
    owner: Annotated[str, typer.Option(help="Those of this owner.")] = "",
    kind: Annotated[str, typer.Option(help="Those of this kind.")] = "",
    severity: Annotated[Severity | None, typer.Option(help="Those as bad as this.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many it would be, and how much.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Assign, resolve, replay or compensate exceptions. What is replayed and fails again opens again.

    Example: tallytrace act replay --kind posting_rejected --by ann --reason "the period is open" --dry-run
    """
    from sync_core.exceptions.exceptions import Acted
    from tallytrace import look, remote, supervisor

    wanted: dict[str, Any] = {"by": by, "reason": reason, "to": to, "dry_run": dry_run}
    where = {"owner": owner, "kind": kind, "severity": severity or ""}
    wanted |= {"ids": ids} if ids else {"where": where}
    with _refusals(), supervisor.running(_settings(context)) as product:
        body = remote.send(f"{product.core_url}/v1/exceptions/{action}", wanted)
    acted = msgspec.json.decode(body, type=Acted)
    out.print_json(body.decode()) if as_json else out.print(look.acted(acted))
    if acted.done < len(acted.outcomes):
        raise typer.Exit(1)


@app.command("close")
def close_period(
    context: typer.Context,
    period: Annotated[str, typer.Argument(help="A month, such as 2026-11.")],
    by: Annotated[str, typer.Option(help="Who you are.")],
    reason: Annotated[str, typer.Option(help="Why; kept for ever.")],
    entity: Annotated[str, typer.Option(help="Legal entity; none: the first.")] = "",
    begin: Annotated[bool, typer.Option("--begin", help="From now on only finance posts into it.")] = False,
    reopen: Annotated[bool, typer.Option("--reopen", help="Let it take entries again.")] = False,
    accept_open: Annotated[bool, typer.Option("--accept-open", help="Close it with what is open.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what is open.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Close an accounting period: from then on it takes no entry, and what comes late is posted in the next.

    Example: tallytrace close 2026-11 --by ann --reason "November is complete" --dry-run
    """
    from sync_core.ledger.closing import PeriodStatus
    from tallytrace import look, remote, supervisor

    action = "begin" if begin else "reopen" if reopen else "close"
    wanted = {"by": by, "reason": reason, "legal_entity": entity, "accept_open": accept_open, "dry_run": dry_run}
    with _refusals(), supervisor.running(_settings(context)) as product:
        where = f"{product.core_url}/v1/periods/{quote(period, safe='')}"
        before = remote.read(f"{where}?legal_entity={quote(entity, safe='')}", PeriodStatus)
        if not as_json:
            out.print(look.period(before))
        if not (dry_run or yes) and not typer.confirm(f"{action} {period} of {before.legal_entity}?", err=True):
            raise typer.Exit(1)
        body = remote.send(f"{where}/{action}", wanted)
    after = msgspec.json.decode(body, type=PeriodStatus)
    out.print_json(body.decode()) if as_json else out.print(f"{after.period} of {after.legal_entity} is {after.state}")


@app.command("statement")
def show_statement(
    context: typer.Context,
    account: Annotated[str, typer.Argument(help="Such as assets:clearing:stripe.")],
    until: Annotated[str, typer.Option(help="At the end of this day; none: today.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    as_json: JsonOption = False,
) -> None:
    """Show what is open on an account that is settled, by age. Example: tallytrace statement assets:clearing:stripe"""
    from sync_core.ledger.books_api import Statement
    from tallytrace import look, remote, supervisor

    with _refusals(), supervisor.running(_settings(context)) as product:
        asked = f"account={quote(account, safe='')}&until={quote(until, safe='')}&limit={limit}"
        told = remote.read(f"{product.core_url}/v1/statement?{asked}", Statement)
    out.print_json(msgspec.json.encode(told).decode()) if as_json else out.print(look.statement(told))


@app.command("reconcile")
def show_reconciliation(
    context: typer.Context,
    level: Annotated[str, typer.Option(help="L0 to L5; none: all.")] = "",
    since: Annotated[str, typer.Option(help="First business date.")] = "1970-01-02",
    until: Annotated[str, typer.Option(help="Last business date.")] = "2149-01-01",
    channel: Annotated[str, typer.Option(help="Of this channel.")] = "",
    provider: Annotated[str, typer.Option(help="Of this provider.")] = "",
    as_of: Annotated[str, typer.Option(help="As it stood then, such as 2026-03-03T09:00:00Z.")] = "",
    unexplained: Annotated[bool, typer.Option("--unexplained", help="Only what nothing explains.")] = False,
    entries: Annotated[bool, typer.Option("--entries", help="The transactions that differences are made of.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=20_000)] = 1000,
    as_json: JsonOption = False,
) -> None:
    """Show what two sides say of each business day, what explains the difference, and what does not.

    Examples: tallytrace reconcile --unexplained; tallytrace reconcile --level L3 --since 2026-03-02 --entries
    """
    from tallytrace import look, remote, supervisor

    asked: dict[str, Any] = {"level": level, "since": since, "until": until, "channel": channel, "provider": provider,
                             "limit": limit}  # fmt: skip
    asked |= {"as_of": as_of} if as_of else {}
    asked |= {"why": "unexplained"} if entries and unexplained else {"unexplained": True} if unexplained else {}
    with _refusals(), supervisor.running(_settings(context)) as product:
        body = remote.fetch(f"{product.plane_url}/v1/reconciliation{'/entries' if entries else ''}", **asked)
    if as_json:
        out.print_json(body.decode())
    else:
        out.print(look.differences(body) if entries else look.cells(body))


@app.command("export")
def export_what(
    context: typer.Context,
    what: Annotated[str, typer.Argument(help="journal, or journeys of the IDs that follow: json, csv, ocel")],
    ids: Annotated[list[str] | None, typer.Argument(help="Transactions to export, by any ID.")] = None,
    form: Annotated[str, typer.Option("--format", help="canonical (CSV), hledger or beancount")] = "canonical",
) -> None:
    """Write the journal, or journeys, to standard output.

    Examples: tallytrace export journal --format hledger | hledger -f - check; tallytrace export ocel 537681 C538698
    """
    from tallytrace import look, remote, supervisor

    if what == "journal" and form in ("canonical", "hledger", "beancount") and not ids:
        with _refusals(), supervisor.running(_settings(context)) as product:
            look.copy_journal(product, form, sys.stdout.buffer)
    elif what in ("json", "csv", "ocel") and ids:
        with _refusals(), supervisor.running(_settings(context)) as product:
            sys.stdout.buffer.write(remote.fetch(f"{product.plane_url}/v1/export/{what}", id=ids))
    else:
        refuse("export journal --format canonical|hledger|beancount, or export json|csv|ocel ID ...")


@app.command("bench")
def run_bench(
    what: Annotated[
        Bench, typer.Argument(help="replay, collector, core, settlements, pages, query; all but query.")
    ] = Bench.ALL,
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Replay this file; default: generated lines.")
    ] = None,
    lines: Annotated[int, typer.Option(min=100, help="Generated lines to replay.")] = 100_000,
    seconds: Annotated[int, typer.Option(min=1, help="Load of the collector: so long at 110,000 spans/s.")] = 60,
    orders: Annotated[int, typer.Option(min=250, help="Order lifecycles through the core.")] = 10_000,
    settled: Annotated[int, typer.Option(min=1000, help="Lines of a settlement to match.")] = 1_000_000,
    transactions: Annotated[int, typer.Option(min=10_000, help="query: of ten spans each.")] = 100_000,
    home: Annotated[
        Path, typer.Option("--generate", help="query: made here and kept; a run that was broken off goes on.")
    ] = Path("var/bench-query"),
    as_json: JsonOption = False,
) -> None:
    """Measure this machine against the targets, in a home of its own.

    Examples: tallytrace bench --json; tallytrace bench collector --seconds 60; tallytrace bench core
    """
    from tallytrace import bench

    figures, extra, tables = [], dict[str, object](), list[Callable[[], None]]()
    with _refusals():
        if what in (Bench.ALL, Bench.REPLAY):
            figures += bench.replayed(lines=lines, file=file, console=err)
        if what in (Bench.ALL, Bench.COLLECTOR):
            measured, report = bench.collected(spans=seconds * bench.SPANS_PER_SECOND)
            figures += measured
            extra |= {"collector.small_requests": report.small_requests, "collector.report": report}
            tables.append(partial(bench.show_collector, report, out))
        if what in (Bench.ALL, Bench.CORE):
            measured, core = bench.cored(lifecycles=orders, seconds=10, console=err)
            figures += measured
            extra["core.report"] = core
            tables.append(partial(bench.show_core, core, out))
        if what is Bench.QUERY:
            measured, queries = bench.queried(home=home, orders=transactions, console=err)
            figures += measured
            extra["query.report"] = queries
            tables.append(partial(bench.show_queries, queries, out))
        if what in (Bench.ALL, Bench.PAGES):
            measured, viewed = bench.viewed(seconds=min(seconds, 20), console=err)
            figures += measured
            extra["pages.report"] = viewed
            tables.append(partial(bench.show_pages, viewed, out))
        if what in (Bench.ALL, Bench.SETTLEMENTS):
            measured, settlements = bench.settled(lines=settled, console=err)
            figures += measured
            extra["settlements.report"] = settlements
            tables.append(partial(bench.show_settlements, settlements, out))
    if as_json:
        out.print_json(msgspec.json.encode({one.name: one for one in figures} | extra).decode())
        return
    bench.show(figures, out)
    for show in tables:
        show()


@app.command("erp")
def check_erp(context: typer.Context, as_json: JsonOption = False) -> None:
    """Ask each ERP of the settings whether it would take what we post: log-in, company, journal, accounts.

    Exit status 1 when something must be mended there or in the settings; each line says what.

    Example: TALLYTRACE_ERP_URL=http://erp:8000 tallytrace erp
    """
    from sync_core.ledger import ledger
    from tallytrace import erp

    settings = _settings(context)
    with _refusals():
        found = erp.named(settings, ledger.load_rules(override=settings.posting_rules))
        if not found:
            refuse("no ERP is set: erp_url is empty")
        problems = []
        for each in found.values():
            with erp.connected(each) as one:
                problems.append((each.erp_url, one.check()))
    if as_json:
        told = [{"url": url, "problems": wrong} for url, wrong in problems]
        out.print_json(msgspec.json.encode(told).decode())
    else:
        for url, wrong in problems:
            for problem in wrong or [f"{url} takes what we post"]:
                out.print(problem)
    raise typer.Exit(1 if any(wrong for _, wrong in problems) else 0)


demo_app = typer.Typer(invoke_without_command=True)
app.add_typer(demo_app, name="demo")
FAULT: Final = "Have something go wrong in the demo that runs."
HomeOption = Annotated[Path, typer.Option(help="Directory of the demo's state; wiped at the start.")]


@demo_app.callback()
def run_demo(
    context: typer.Context,
    home: HomeOption = Path("var/demo"),
    port_base: Annotated[int, typer.Option(help="First of seven ports; pages are on it.")] = 8080,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long; default: until Ctrl-C.")] = None,
    days: Annotated[int, typer.Option(help="Days of history, told first.", min=3, max=30)] = 30,
    orders_per_second: Annotated[float, typer.Option(help="Live orders, in the mean of a week.", min=0, max=50)] = 2,
) -> None:
    """Start the product with a simulated retailer of 400 stores and show what is worth looking at.

    Examples: tallytrace demo; tallytrace demo --days 7 --orders-per-second 10; tallytrace demo fault erp-outage
    """
    from tallytrace import demo

    if context.invoked_subcommand is None:
        raise typer.Exit(
            demo.run(home, port_base=port_base, seconds=seconds, days=days, orders_per_second=orders_per_second)
        )


@demo_app.command("fault", help="\n\n".join([FAULT, *(f"{kind}: {what}" for kind, what in WHAT.items())]))
def cause_fault(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="One of those above.")],
    for_: Annotated[str, typer.Option("--for", help="How long: 90s, 5m, 1h.")] = "1m",
    home: Annotated[Path, typer.Option(help="Directory of the demo's state.")] = Path("var/demo"),
) -> None:
    from tallytrace import demo
    from tallytrace.alerts_cli import seconds

    if kind not in WHAT:
        refuse(f"{kind}: no such fault; known: {', '.join(WHAT)}")
    try:
        begun = demo.cause(home, kind, seconds(for_))
    except demo.DemoError as error:
        refuse(str(error))
    out.print(f"{WHAT[begun.kind]}: until {begun.ends:%H:%M:%S} UTC")


def main() -> None:
    app()


def refuse(reason: str) -> NoReturn:
    """Ends the command with exit status 2 and the reason."""
    typer.echo(f"tallytrace: {reason}", err=True)
    raise typer.Exit(2)


def _settings(context: typer.Context) -> Settings:
    settings: Settings = context.obj
    return settings


def _say_where(product: "Product") -> None:
    out.print(f"pages   {product.plane_url}/ui\nevents  {product.core_url}/v1/events\nspans   {product.collector_url}")


@contextmanager
def _refusals() -> Iterator[None]:
    """What a user can mend is said in one line, without a stack."""
    try:
        yield
    except (RefusedError, DefinitionError, RulesRefusedError, RoutesRefusedError, RetentionError) as fault:
        refuse(str(fault))
