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
from lineage.queries import text
from lineage.rows import micros

_ERRORS: Final[Any] = {StorageUnavailableError: unavailable, QueryTimeoutError: unavailable}
CAPTURED: Final = "order.captured"


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


def route_handlers(storage: Storage, flows: Flows, now: Callable[[], datetime]) -> list[HTTPRouteHandler]:
    """``now`` is the business present."""
    flow = flows.beginning_with(CAPTURED)

    @get("/v1/order-states", sync_to_thread=True, tags=["operations"], exception_handlers=_ERRORS)
    def order_states(
        days: Annotated[int, QueryParameter(ge=1, le=92, description="how far back orders were captured")] = 7,
    ) -> list[OrderState]:
        """The states of the orders of the last days, in the order in which they are gone through."""
        if flow is None:
            return []
        present = now()
        asked = {"since_us": micros(present - timedelta(days=days)), "now_us": micros(present)}
        states = _states(flow)
        found = [_state(row) for row in storage.query(text("order_states"), asked | _declared(flow, states))]
        return sorted(found, key=lambda one: (one.channel, states.index(one.state)))

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
