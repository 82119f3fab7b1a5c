"""The simulated estate's story through the real core: everything is worked off and the books agree to the penny."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from sync_core.connectors.known import SETTLEMENT_FILES
from sync_core.exceptions.deadlines import Deadlines
from sync_core.messages import from_cloudevents
from sync_core.reading import text_lines
from sync_core.reconciliation.cells import Cell
from sync_core.reconciliation.reconcile import compare
from sync_core.settlements import staging
from sync_core.settlements.matching import Matcher
from tallytrace.estate import payouts
from tallytrace.estate.counting import counts
from tallytrace.estate.incidents import Incident, disturbed, plan_of, store_of
from tallytrace.estate.kinds import KINDS, Kind
from tallytrace.estate.payouts import File
from tallytrace.estate.retailer import keeper
from tallytrace.estate.story import count_days, deliveries, history, invoices, live, lives, opening, order_lists
from tallytrace.estate.telling import FAILS, Happening, encode
from tests.core import Core, later

NOW = dt.datetime(2026, 3, 4, 11, 23, 45, tzinfo=dt.UTC)
SEED = 5
DAYS = 17
ORDERS_A_DAY = 24
STEPS = {*(f"{step}_failed" for step in FAILS), "fraud_cleared_failed"}


def tell(core: Core, happenings: list[Happening], live_since: dt.datetime = NOW) -> int:
    due = sorted((each for each in happenings if each.at <= core.now), key=lambda each: each.at)
    if due:
        body = b"[" + b",".join(encode(each, live_since=live_since) for each in due) + b"]"
        core.take(*from_cloudevents(body, batch=True))
    return len(due)


def give(core: Core, directory: Path, files: list[File]) -> None:
    """Have settlement files read, booked and matched."""
    for file in files:
        path = directory / file.name
        path.write_bytes(file.body)
        with core.db.transaction() as session:
            if file.connector not in SETTLEMENT_FILES:
                session.run("save_mapping", name=file.connector, body=payouts.WALMART_MAPPING.decode(), now=core.now)
            session.run("start_file", connector=file.connector, name=file.name, sha256=file.name, shift_weeks=0,
                        generated=file.generated, now=core.now)  # fmt: skip
        run = core.one("select max(run) from core.files")
        staging.read(core.db, run, file.connector, file.name, partial(text_lines, path, path.name), core.rules,
                     lambda: core.now, generated=file.generated)  # fmt: skip
        assert core.one("select error from core.files where run = %s", run) == ""
    core.work()
    matcher = Matcher(core.db, core.rules, lambda: core.now)
    while matcher.run_once():
        pass


@pytest.fixture
def traded(core: Core, tmp_path: Path) -> Core:
    """Seventeen days, and what others state of them."""
    core.now = NOW
    told = lives(SEED, NOW, DAYS, ORDERS_A_DAY)
    sold, back = history(told, NOW)
    chapters = [opening(SEED, NOW, DAYS), delivered := deliveries(SEED, NOW, DAYS)[::10], sold, back]
    moved = sorted((each for chapter in chapters for each in chapter), key=lambda each: each.at)
    chapters.append(list(counts(SEED, moved, count_days(NOW, DAYS)[::10])))
    chapters.append([*order_lists(told, NOW), *invoices(SEED, delivered, NOW)])
    count = sum(tell(core, chapter) for chapter in chapters)
    stated = payouts.payouts_of(told, (NOW - dt.timedelta(days=DAYS)).date(), NOW.date())
    past = payouts.files(stated, "h", generated=True)
    give(core, tmp_path, [*past, *payouts.statement(stated, NOW.date(), "h")])
    assert core.states() == {"done": count + core.one("select count(*) from core.settlements")}
    return core


def open_exceptions(core: Core) -> Counter[str]:
    return Counter(kind for (kind,) in core.rows("select kind from core.exceptions where state <> 'resolved'"))


def unexplained(core: Core) -> list[Cell]:
    with core.db.transaction() as session:
        days = compare(session, core.rules, [(core.now - dt.timedelta(days=ago)).date() for ago in range(DAYS + 1)])
    cells = [cell for day in days.values() for cell in day.cells.values()]
    assert {cell.key.level for cell in cells} >= {"L0", "L1", "L3", "L4", "L5"}
    return [cell for cell in cells if cell.unexplained_minor]


def play(core: Core, directory: Path, kinds: Sequence[Kind]) -> dict[Kind, Incident]:
    """Two minutes of live trade in which all of this goes wrong from the tenth second on, told as systems would."""
    began = core.now
    found: dict[Kind, Incident] = {kind: Incident(kind, began + dt.timedelta(seconds=10), 60) for kind in kinds}
    past = lives(SEED, NOW, DAYS, ORDERS_A_DAY)
    plans = [plan_of(one, SEED, past) for one in found.values()]
    first = int(began.timestamp()) + 1
    happenings = [each for second in range(first, first + 90) for each in live(SEED, second, 0.3)]
    told: list[tuple[dt.datetime, Happening]] = []
    for one in [*happenings, *(each for plan in plans for each in plan.happenings)]:
        ways = (disturbed(incident, one) for incident in found.values() if incident.begins <= one.at < incident.ends)
        told += next((way for way in ways if way is not None), [(one.at, one)])
    files = [file for plan in plans for file in plan.files]
    while told or files:
        later(core, seconds=10)
        due = [each for at, each in told if at <= core.now]
        told = [(at, each) for at, each in told if at > core.now]
        if due:
            body = b"[" + b",".join(encode(each, live_since=NOW) for each in due) + b"]"
            core.take(*from_cloudevents(body, batch=True))
        Deadlines(core.db, lambda: core.now).run_once()
        core.work()
        give(core, directory, [file for at, file in files if at <= core.now])
        files = [(at, file) for at, file in files if at > core.now]
    return found


def test_thirty_days_and_what_goes_wrong_in_them_are_explained(traded: Core, tmp_path: Path) -> None:
    """Nothing is open after the past; afterwards each incident is seen where it belongs, and nothing else."""
    assert open_exceptions(traded).keys() <= STEPS | {"backorder"}
    assert unexplained(traded) == []
    assert traded.faults() == []
    counted, wrong = traded.rows("select sum(lines), sum(lines - accurate) from core.counts")[0]
    assert counted > 200 > 20 * wrong, "the estate knows what stands on its shelves"
    assert traded.one("select count(*) from core.journals where document = 'supplier_invoice'") > 5
    found: dict[str, bool] = dict(
        traded.rows("""
        select origin, bool_or(open_minor <> 0)
        from core.settlement_lines join core.settlements using (settlement) group by 1""")
    )
    assert found == dict.fromkeys(("gb33bukb20201555555555", "adyen", "amazon", "walmart", "stripe"), False)

    before = open_exceptions(traded)
    incidents = play(traded, tmp_path, KINDS)
    left = open_exceptions(traded) - before
    assert {kind: count for kind, count in left.items() if kind not in STEPS | {"backorder"}} == {
        "refund_not_posted": 1, "identity_conflict": left["identity_conflict"],
    }  # fmt: skip
    assert left["identity_conflict"] > 0, "the second webhook of an order said something else"
    assert duplicates(traded, "shopify") > 0, "and others the same"
    opened = Counter(traded.rows("select kind, left(entity_id, 4) = '1080', state from core.exceptions"))
    assert opened["backorder", True, "resolved"] == 1, "sold by the marketplace after it was picked up"
    assert opened["backorder", False, "resolved"] >= 20, "promoted before the stock was there, supplied afterwards"
    assert opened["acknowledged_failed", True, "resolved"] > 0, "throttled, and acknowledged in the end"
    assert opened["acknowledged_failed", True, "open"] == 0
    assert parts_of(traded, "refund-in-parts") == [("refund", 2, 0)]
    assert parts_of(traded, "late-settlement") == [("order", 1, 0)] * 3
    assert late_sales(traded, incidents["store-offline"]) >= 5
    planted = [(cell.key.level, cell.key.provider, cell.key.kind) for cell in unexplained(traded)]
    assert planted == [("L3", "stripe", "refund")], "the refund that nobody told of"
    assert traded.faults() == []


def duplicates(core: Core, source: str) -> int:
    return int(core.one("select sum(duplicates) from core.deliveries where source = %s", source))


def parts_of(core: Core, kind: Kind) -> list[tuple[str, int, int]]:
    """What an incident's payouts settled beside whole charges: document, in how many parts, what is left."""
    rows = core.rows(
        """
        select document, count(*), min(open_items.open_minor) from core.matches
        join core.settlement_lines using (line_id) join core.settlements using (settlement)
        join core.open_items using (item_id)
        where settlement_id like %s group by document, item_id order by 1, 2""",
        f"po_{kind}-%",
    )
    return [(document, count, left) for document, count, left in rows if kind != "refund-in-parts" or count > 1]


def late_sales(core: Core, incident: Incident) -> int:
    """Sales of a store that were told after its line was back."""
    return int(core.one(
        "select count(*) from core.inbox where source = %s and type like '%%order.captured%%' and accepted_at >= %s"
        " and occurred_at < %s", keeper(store_of(incident)), incident.ends, incident.ends,
    ))  # fmt: skip
