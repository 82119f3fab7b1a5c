"""What the pages ask of lineage; its service object satisfies this, and so does an in-memory estate in tests."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from lineage.brands import Brands
from lineage.model import WHOLE, Answer, Overdue, SlaDetail, SlaItems, SlaTile, Trace, View
from lineage.open_items import NotJudgedError
from lineage.queries import Filter

T = TypeVar("T")

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


def unless_judging(ask: Callable[[], T]) -> T | NotJudgedError:
    """The answer, or how far what it takes is judged."""
    try:
        return ask()
    except NotJudgedError as error:
        return error
