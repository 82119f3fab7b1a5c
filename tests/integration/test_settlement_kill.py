"""A reader of a settlement that is killed leaves nothing behind, and the next one begins again."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from sync_core.files import Apart, FileReader
from tests.core import Core
from tests.settlement_files import stripe

LINES = 20_000


def waited_for(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_reader_killed_in_the_middle_is_taken_up_again(core: Core, postgres_url: str, home: Path) -> None:
    apart = Apart(postgres_url, home / "files")
    reader = FileReader(core.db, home / "files", lambda: core.now, apart.read, apart.stop)
    incoming = reader.incoming()
    incoming.write(stripe(*(("charge", f"ch_{n}", "10.00", "0") for n in range(LINES))).encode())
    reader.submit("stripe_payouts", "big", incoming.finish(), until_now=False)

    def copying() -> bool:
        """Whether lines are on their way, none of them committed."""
        return bool(core.one("select count(*) from pg_stat_progress_copy where tuples_processed > 100"))

    at_work = threading.Thread(target=reader.run_once)
    at_work.start()
    waited_for(copying)
    apart.stop()
    at_work.join()
    assert core.rows("select state, accepted from core.files") == [("reading", 0)]
    assert core.one("select count(*) from core.settlement_lines") == 0
    again = Apart(postgres_url, home / "files")
    assert FileReader(core.db, home / "files", lambda: core.now, again.read, again.stop).run_once() == 1
    assert core.rows("select state, accepted, error from core.files") == [("read", LINES + 1, "")]
    assert core.one("select count(*) from core.settlement_lines") == LINES + 1
    assert core.one("select count(*) from core.inbox") == 1
