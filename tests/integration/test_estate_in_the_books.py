"""The simulated estate's story through the real core: everything is worked off and the books agree to the penny."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sync_core.flows import Processor
from sync_core.inbox import accept
from sync_core.ledger.ledger import load_rules
from sync_core.messages import from_cloudevents
from sync_core.reconciliation.reconcile import compare
from sync_core.store import Store
from tallytrace.estate import FAILS, Happening, encode, history, live, opening, steps_of_history
from tallytrace.postgres import serving

NOW = datetime(2026, 3, 4, 11, 23, 45, tzinfo=UTC)
SEED = 5


@pytest.fixture(scope="module")
def core() -> Iterator[Store]:
    home = Path(tempfile.mkdtemp(prefix="estate-"))
    with serving(home) as url, closing(Store(url)) as store:
        store.open()
        store.migrate()
        yield store
    shutil.rmtree(home, ignore_errors=True)


def work_off(core: Store, happenings: list[Happening], now: datetime) -> None:
    body = b"[" + b",".join(encode(each, live_since=NOW) for each in happenings) + b"]"
    with core.transaction() as session:
        accept(session, from_cloudevents(body, batch=True), now)
    processor = Processor(core, load_rules(), lambda: now)
    while processor.run_once():
        pass


def test_all_is_done_and_nothing_is_unexplained(core: Store) -> None:
    later = NOW + timedelta(seconds=90)
    seconds = range(int(NOW.timestamp()) + 1, int(later.timestamp()))
    past = [each for each in history(SEED, NOW) if each.at <= NOW]
    present = sorted((each for second in seconds for each in live(SEED, second, 3)), key=lambda each: each.at)
    steps = [each for each in steps_of_history(SEED, NOW) if NOW - timedelta(days=1) <= each.at <= NOW]
    for chapter, now in ((opening(SEED, NOW), NOW), (past, NOW), (steps, NOW), (present, later)):
        work_off(core, chapter, now)
    with core.transaction() as session:
        states = Counter(row[0] for row in session.connection.execute("select state from core.inbox"))
        kinds = {row[0] for row in session.connection.execute("select kind from core.exceptions")}
        days = compare(session, load_rules(), [(NOW - timedelta(days=ago)).date() for ago in range(7)])
        cells = [cell for day in days.values() for cell in day.cells.values()]
    assert states == {"done": 4 + len(past) + len(steps) + len(present)}
    assert "backorder" in kinds
    assert kinds <= {"backorder", *(f"{step}_failed" for step in (*FAILS, "fraud_cleared"))}
    assert len(cells) > 20
    assert [cell for cell in cells if cell.unexplained_minor] == []
