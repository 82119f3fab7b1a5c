"""What the pages ask of lineage; its service object satisfies this, and so does an in-memory estate in tests."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from lineage.brands import Brands
from lineage.model import WHOLE, Answer, Overdue, SlaDetail, SlaItems, SlaTile, Trace, View
from lineage.open_items import NotJudgedError
from lineage.queries import Filter

Clock = Callable[[], datetime]
"""Returns the present moment, aware, in UTC."""


class Reader(Protocol):
    @property
    def brands(self) -> Brands: ...

    def journey(self, any_id: str, /) -> Answer: ...

    def trace(self, trace_id: str, /) -> Trace | None: ...

    def tiles(self, view: View = WHOLE, /) -> Sequence[SlaTile]: ...

    def places(self, brand: str = "", /) -> Sequence[tuple[str, str]]: ...

    def sla(self, name: str, view: View = WHOLE, /) -> SlaDetail | None: ...

    def items(self, name: str, wanted: Filter | None = None, /) -> SlaItems | None: ...

    def overdue(self) -> Overdue: ...


def items(lineage: Reader, name: str, wanted: Filter) -> SlaItems | NotJudgedError | None:
    """The items of a promise, or how far they are judged."""
    try:
        return lineage.items(name, wanted)
    except NotJudgedError as error:
        return error


def owed(lineage: Reader) -> Overdue | NotJudgedError:
    """What is overdue, or how far that is judged."""
    try:
        return lineage.overdue()
    except NotJudgedError as error:
        return error
