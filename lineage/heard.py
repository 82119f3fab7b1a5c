"""For those who judge only what was heard since: whether what they read still stands, and slices of what they judge."""

from collections.abc import Iterable, Iterator
from threading import Event
from typing import TypeVar

from lineage.rows import BlocksRow, BuildRow, GenerationRow

T = TypeVar("T")


def holds(read: BuildRow | GenerationRow, stored: BlocksRow) -> bool:
    """False when blocks that were read are gone, whose numbers may come again."""
    return read.milestones_block <= stored.milestones_block and read.corrections_block <= stored.corrections_block


def ranges(many: int) -> Iterator[tuple[str, str]]:
    """The space of correlation IDs in as many parts."""
    whole = 1 << 128
    for number in range(many):
        first, after = whole * number // many, whole * (number + 1) // many
        yield f"{first:032x}", f"{after - 1:032x}"


class BrokenOffError(Exception):
    """The process ends before everything is judged; the next one begins anew where that was not."""


def until(ends: Event, some: Iterable[T]) -> Iterator[T]:
    """Raises BrokenOffError as soon as the process ends, which nobody should have to wait for."""
    for one in some:
        if ends.is_set():
            raise BrokenOffError("broken off, as the process ends")
        yield one
