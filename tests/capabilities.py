"""Which capabilities the tests have shown at work: a pytest plugin that keeps outcomes, and the table of them."""

import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from rich.console import Console
from rich.table import Table

TOTAL: Final = 306
MOST_PER_TEST: Final = 5
RESULTS: Final = Path(__file__).parent.parent / ".capabilities.json"


class Outcome(msgspec.Struct, frozen=True):
    """Of one test, when it ran last: passed, failed or skipped."""

    numbers: tuple[int, ...]
    outcome: str


class Recorder:
    """Keeps the outcomes of this run over those of earlier runs; a run of all tests drops tests that are gone.

    Tests run in several processes: each tells the one that started it which numbers its tests have.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._told: dict[str, object] | None = getattr(config, "workeroutput", None)
        self._whole_suite = config.args == config.getini("testpaths")
        self._numbers: dict[str, tuple[int, ...]] = {}
        self._outcomes: dict[str, str] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if marker := item.get_closest_marker("proves"):
                self._numbers[item.nodeid] = checked(marker.args, item.nodeid)
        if self._told is not None:
            self._told["proves"] = self._numbers

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._numbers |= getattr(node, "workeroutput", {}).get("proves", {})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            before = self._outcomes.get(report.nodeid, "passed")
            self._outcomes[report.nodeid] = report.outcome if before == "passed" else before

    def pytest_sessionfinish(self) -> None:
        seen = self._outcomes.keys() & self._numbers.keys()
        if self._told is not None or not seen:
            return
        earlier = read(RESULTS)
        kept = {test: seen for test, seen in earlier.items() if not self._whole_suite or test in self._numbers}
        now = {test: Outcome(self._numbers[test], self._outcomes[test]) for test in seen}
        RESULTS.write_bytes(msgspec.json.encode(dict(sorted((kept | now).items()))))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Recorder(config))


def checked(numbers: tuple[object, ...], test: str) -> tuple[int, ...]:
    """Raises pytest.UsageError unless these are one to five numbers of capabilities."""
    known = [number for number in numbers if isinstance(number, int) and 1 <= number <= TOTAL]
    if len(known) != len(numbers) or len(set(known)) != len(known) or not 1 <= len(known) <= MOST_PER_TEST:
        raise pytest.UsageError(f"{test}: proves() takes one to {MOST_PER_TEST} different numbers of 1 to {TOTAL}")
    return tuple(known)


def read(path: Path) -> dict[str, Outcome]:
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Outcome]) if path.exists() else {}


def proven(outcomes: Mapping[str, Outcome]) -> set[int]:
    """Numbers that at least one test shows, and every test that names them passes."""
    seen: dict[int, set[str]] = defaultdict(set)
    for outcome in outcomes.values():
        for number in outcome.numbers:
            seen[number].add(outcome.outcome)
    return {number for number, found in seen.items() if found == {"passed"}}


def main() -> None:
    outcomes = read(RESULTS)
    table = Table("number", "outcome", "test", box=None)
    rows = sorted((number, test, seen.outcome) for test, seen in outcomes.items() for number in seen.numbers)
    for number, test, outcome in rows:
        table.add_row(str(number), outcome, test)
    console = Console(width=200, highlight=False, file=sys.stdout)
    console.print(table)
    console.print(f"{len(proven(outcomes))} of {TOTAL} proven")


if __name__ == "__main__":
    main()
