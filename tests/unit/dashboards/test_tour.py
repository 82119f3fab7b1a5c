"""The tour says what is true now, and links to where it is seen."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
from plotly.utils import PlotlyJSONEncoder  # type: ignore[import-untyped]

from dashboards import addresses
from dashboards.elements import Page
from dashboards.pages import tour
from lineage.model import Money, Overdue, OverdueByOwner, OverdueItem, SlaTile

Read = Callable[[Any], list[str]]


def links(page: Page) -> Iterator[str]:
    for part in PlotlyJSONEncoder().encode(page.body).split('"href": ')[1:]:
        yield msgspec.json.decode(part[: part.index('"', 1) + 1], type=str)


def overdue(now: datetime, *items: OverdueItem) -> Overdue:
    owners = [OverdueByOwner(owner="finance", count=2, at_risk=(Money(3_570, "GBP"),), oldest_due_at=now)]
    return Overdue(as_of=now, items=items, by_owner=tuple(owners if items else ()), cut=False)


def test_three_stories_lead_to_what_is_late(make_tile: Callable[..., SlaTile], read: Read, now: datetime) -> None:
    late = OverdueItem(
        flow="refund", step="refund-in-ledger", title="refund re_1 is not accepted by the ERP", entity="refund",
        entity_id="re_1", correlation_id="ab" * 16, sla="refund_to_ledger", since=now - timedelta(minutes=2),
        due_at=now - timedelta(minutes=1), overdue_seconds=60, owner="finance", channel="web", location="",
        provider="stripe", amount=Money(3_570, "GBP"), reason="posting of refund documents is held",
    )  # fmt: skip
    tiles = [make_tile("kept"), make_tile("refund_to_ledger", state="breached")]
    page = tour.page(tiles, overdue(now, late), now)
    assert set(links(page)) == {
        addresses.promises(), addresses.promise("refund_to_ledger"), addresses.promise("refund_to_ledger", "web"),
        addresses.transaction("ab" * 16),
    }  # fmt: skip
    said = " ".join(read(page.body))
    for words in ("An executive", "An owner", "An on-call engineer", "£35.70", "re_1", "is held"):
        assert words in said


def test_when_nothing_is_late_the_tour_says_how_to_have_it_so(read: Read, now: datetime) -> None:
    page = tour.page([], overdue(now), now)
    assert "tallytrace demo fault" in " ".join(read(page.body))
    assert list(links(page)) == [addresses.promises()]
    assert isinstance(addresses.parse(addresses.tour(), ""), addresses.Tour)
