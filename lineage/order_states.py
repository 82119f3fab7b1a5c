"""How orders come forward: how many are in each state, how long they stay there, where they stop."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter
from msgspec import Struct

from collector.errors import QueryTimeoutError, StorageUnavailableError
from collector.storage import Storage
from lineage.flows import Flow, Flows
from lineage.problems import unavailable
from lineage.queries import SCANS, text
from lineage.rows import micros
from lineage.shared import Shared

_ERRORS: Final[Any] = {StorageUnavailableError: unavailable, QueryTimeoutError: unavailable}
CAPTURED: Final = "order.captured"
WINDOWS: Final = (1, 7, 28)
"""Days that are asked for again and again."""
_SERVES_SECONDS: Final = 1.0
_TIMES: Final = 100
_LONGEST_SECONDS: Final = 600.0


class OrderState(Struct, frozen=True, kw_only=True):
    """Orders of a channel ("" = all) in one state of the flow."""

    channel: str
    state: str
    came: int  # that were ever in it
    standing: int  # that are in it now
    held: int  # of these, that are in it for longer than 95 of 100 that went on; none where the flow may end
    half_seconds: int  # that half of those that went on stayed at most; -1 when none did
    most_seconds: int  # and 95 of 100
    oldest_seconds: int  # of those that are in it now
    oldest_id: str  # its transaction


class OrderStates(Struct, frozen=True, kw_only=True):
    as_of: datetime
    states: tuple[OrderState, ...]  # by channel, and in the order in which they are gone through


class Progress:
    """How far orders have come. Safe to share between threads; ``now`` is the business present.

    What took long to count serves a hundred times as long, ten minutes at most, and is counted anew beside.
    """

    def __init__(self, storage: Storage, flows: Flows, now: Callable[[], datetime]) -> None:
        self._storage = storage
        self._flow = flows.beginning_with(CAPTURED)
        self._now = now
        self._shared = Shared[int, OrderStates](
            _SERVES_SECONDS, 2 * _SERVES_SECONDS, 2 * len(WINDOWS), times=_TIMES, longest_seconds=_LONGEST_SECONDS
        )

    def of(self, days: int) -> OrderStates:
        """Of the orders that were captured in the last days."""
        return self._shared.get(days, lambda: self._count(days))

    def keep(self) -> None:
        """Has the usual windows counted before anybody asks."""
        for days in WINDOWS:
            self.of(days)

    def _count(self, days: int) -> OrderStates:
        flow, present = self._flow, self._now()
        if flow is None:
            return OrderStates(as_of=present, states=())
        states = _states(flow)
        asked = {"since_us": micros(present - timedelta(days=days)), "now_us": micros(present)} | _declared(
            flow, states
        )
        found = [_state(row) for row in self._storage.query(text("order_states"), asked, threads=SCANS)]
        return OrderStates(
            as_of=present, states=tuple(sorted(found, key=lambda one: (one.channel, states.index(one.state))))
        )


def route_handlers(progress: Progress) -> list[HTTPRouteHandler]:
    @get("/v1/order-states", sync_to_thread=True, tags=["operations"], exception_handlers=_ERRORS)
    def order_states(
        days: Annotated[int, QueryParameter(ge=1, le=92, description="how far back orders were captured")] = 7,
    ) -> OrderStates:
        """How far the orders of the last days have come, as of `as_of`: on a large store of some minutes ago."""
        return progress.of(days)

    return [order_states]


def _states(flow: Flow) -> list[str]:
    return list(dict.fromkeys(step.state for step in flow.steps if step.state))


def _declared(flow: Flow, states: list[str]) -> dict[str, list[str]]:
    """The steps that give an order its state, as the query wants them; the one that begins an order is the first.

    Of several steps about one milestone the last counts: goods that ship after a renewal are further than the renewal.
    """
    last = {step.reached: place for place, step in enumerate(flow.steps) if step.state}
    steps = [flow.steps[place] for place in sorted(last.values())]
    return {
        "reached": [step.reached for step in steps],
        "state_of": [step.state for step in steps],
        "states": states,
        "ends": sorted({step.state for step in steps if step.ends}),
        "entities": sorted({step.entity for step in steps}),
    }


def _state(row: tuple[Any, ...]) -> OrderState:
    channel, state, came, standing, held, (half, most), oldest, oldest_id = row
    return OrderState(
        channel=channel, state=state, came=came, standing=standing, held=held, half_seconds=half, most_seconds=most,
        oldest_seconds=oldest, oldest_id=oldest_id if standing else "",
    )  # fmt: skip
