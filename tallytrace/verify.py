"""``tallytrace verify``: the product's own auditor. Every figure is printed; a breach is named and fails it."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from lineage.model import StoredBucket
from sync_core.answers import Audit
from sync_core.money import text
from sync_core.reconciliation.audit import ByKind, Check, Drift, Repair, SpanBucket
from sync_core.stock.buckets import COUNTERS
from sync_core.telemetry import SERVICE
from tallytrace.remote import read, send
from tallytrace.supervisor import Product

SHOWN: Final = 20
MOST_FAULTS: Final = 10_000
LOOKS: Final = 4
LOOK_AGAIN_SECONDS: Final = 2.0
SLOW_SECONDS: Final = 300.0


class Report(Struct, frozen=True):
    """Every check with its faults, and the table by kind."""

    checks: list[Check]
    by_kind: ByKind

    @property
    def sound(self) -> bool:
        return not any(check.faults for check in self.checks)


def run(product: Product) -> Report:
    """Audit both processes. Raises RemoteError when one does not answer."""
    books = read(f"{product.core_url}/v1/audit", Audit, timeout_seconds=SLOW_SECONDS)
    return Report([*books.checks, _spans(product)], books.by_kind)


def drifts(product: Product) -> list[Drift]:
    """The counters that a repair would change."""
    return read(f"{product.core_url}/v1/audit/drifts", list[Drift], timeout_seconds=SLOW_SECONDS)


def repair(product: Product, wrong: Sequence[Drift], *, by: str, reason: str) -> list[Repair]:
    """Set counters to what their movements say; what is not in the answer was not repaired."""
    places = [{"sku": one.sku, "location": one.location} for one in wrong]
    body = send(f"{product.core_url}/v1/audit/repairs", {"by": by, "reason": reason, "places": places})
    return msgspec.json.decode(body, type=list[Repair])


def in_words(sku: str, location: str, before: Mapping[str, int], after: Mapping[str, int]) -> str:
    """What differs of the counters of one SKU at one location."""
    names = [name for name in COUNTERS if before.get(name, 0) != after.get(name, 0)]
    what = ", ".join(f"{name.replace('_', ' ')} {before.get(name, 0)} to {after.get(name, 0)}" for name in names)
    return f"{sku} at {location}: {what}"


def show(report: Report, console: Console, *, by_kind: bool) -> None:
    """Print the checks, and the table by kind when it is wanted."""
    if by_kind:
        console.print(_table(report.by_kind))
        console.print(_sums(report.by_kind))
    for check in report.checks:
        mark = "[red]FAULT[/]" if check.faults else "[green]ok[/]   "
        console.print(f"{mark} {check.name}: {check.looked_at:,} looked at, {len(check.faults)} faults")
        for fault in check.faults:
            console.print(f"      {fault}", style="red")


def compare(committed: Sequence[SpanBucket], stored: Sequence[StoredBucket]) -> list[int]:
    """The buckets in which what was committed is not exactly what is stored."""
    left = {one.bucket: (one.count, one.distinct, one.xor) for one in committed}
    right = {one.bucket: (one.count, one.distinct, one.xor) for one in stored}
    return sorted(bucket for bucket in left.keys() | right.keys() if left.get(bucket) != right.get(bucket))


def differences(committed: Sequence[str], stored: Sequence[str]) -> list[str]:
    """What differs, span by span, in words."""
    left, right = Counter(committed), Counter(stored)
    return [
        *(f"span {one} was committed and is not stored" for one in sorted(left.keys() - right.keys())),
        *(f"span {one} is stored and was never committed" for one in sorted(right.keys() - left.keys())),
        *(
            f"span {one} was committed {left[one]} times and is stored {right[one]} times"
            for one in sorted(left.keys() & right.keys())
            if left[one] != right[one] or left[one] > 1
        ),
    ]


def _spans(product: Product) -> Check:
    """What stays different: a hop that is still on its way from one store to the other is looked at again."""
    check = _spans_now(product)
    for _ in range(LOOKS - 1):
        if not check.faults:
            break
        time.sleep(LOOK_AGAIN_SECONDS)
        again = _spans_now(product)
        check = Check(again.name, again.looked_at, [fault for fault in again.faults if fault in set(check.faults)])
    return Check(check.name, check.looked_at, check.faults[:SHOWN])


def _spans_now(product: Product) -> Check:
    committed = read(f"{product.core_url}/v1/audit/spans", list[SpanBucket], timeout_seconds=SLOW_SECONDS)
    stored = read(
        f"{product.plane_url}/v1/audit/spans", list[StoredBucket], timeout_seconds=SLOW_SECONDS, service=SERVICE
    )
    faults: list[str] = []
    for bucket in compare(committed, stored):
        if len(faults) >= MOST_FAULTS:
            break
        left = read(f"{product.core_url}/v1/audit/spans/{bucket}", list[str], timeout_seconds=SLOW_SECONDS)
        right = read(
            f"{product.plane_url}/v1/audit/spans/{bucket}", list[str], timeout_seconds=SLOW_SECONDS, service=SERVICE
        )
        faults += differences(left, right)
    count = sum(one.count for one in committed)
    return Check(f"each committed hop is stored exactly once ({sum(s.count for s in stored):,} stored)", count, faults)


def _table(found: ByKind) -> Table:
    table = Table(
        "class", "lines", "units", "GBP", "", box=None, title="journal lines tagged source=file, and parked items"
    )
    for column in (1, 2, 3):
        table.columns[column].justify = "right"
    for row in found.rows:
        lines = "" if row.lines is None else f"{row.lines:,}"
        table.add_row(row.name, lines, f"{row.units:,}", _money(row.amount_minor), row.detail)
    whole = [row for row in found.rows if not row.name.startswith("-")]
    table.add_row(
        "all", f"{sum(row.lines or 0 for row in whole):,}", f"{sum(row.units for row in whole):,}",
        _money(sum(row.amount_minor for row in whole)), style="bold",
    )  # fmt: skip
    return table


def _sums(found: ByKind) -> str:
    documents = ", ".join(f"{count:,} {name}" for name, count in sorted(found.documents.items(), key=lambda d: -d[1]))
    return (
        f"documents: {documents}; {sum(found.documents.values()):,} in all\n"
        f"posted {_money(found.posted_minor)}, parked {found.parked_items:,} items {_money(found.parked_minor)},"
        f" residue {found.residue_micros / 1_000_000:.3f}"
    )


def _money(amount_minor: int) -> str:
    whole, _, rest = text(amount_minor).partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{int(whole.removeprefix('-')):,}.{rest}"
