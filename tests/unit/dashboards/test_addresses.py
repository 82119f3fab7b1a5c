from datetime import date

import pytest

from dashboards import addresses
from dashboards.addresses import Address, Desk, Nowhere, Promise, Promises, Transaction
from lineage.model import View


@pytest.mark.parametrize(
    ("path", "query", "address"),
    [
        ("/ui/", "", Promises()),
        ("/ui", "", Promises()),
        ("/ui/sla/refund_to_ledger", "", Promise("refund_to_ledger")),
        ("/ui/", "?channel=web&until=2026-11-20", Promises(View(channel="web", until=date(2026, 11, 20)))),
        ("/ui/", "?until=yesterday", Promises()),
        ("/ui/sla/a", "?channel=store&location=S1", Promise("a", View(channel="store", location="S1"))),
        ("/ui/transaction", "", Transaction("")),
        ("/ui/transaction", "?id=537681", Transaction("537681")),
        ("/ui/transaction", "?id=2026-11-20%2F3%2F17", Transaction("2026-11-20/3/17")),
        ("/ui/transaction/537681", "", Transaction("537681")),
        ("/ui/transaction/2026-11-20/3/17", "", Transaction("2026-11-20/3/17")),
        ("/ui/transaction", "?id=%20537681+", Transaction("537681")),
        ("/ui/transaction", "?id=1&trace=ab", Transaction("1", "ab")),
        ("/ui/exceptions", "?kind=backorder&unknown=1", Desk("exceptions", {"kind": "backorder"})),
        ("/ui/flow/", "", Desk("flow", {})),
        ("/ui/sla", "", Nowhere("/ui/sla")),
        ("/ui/nothing/here", "", Nowhere("/ui/nothing/here")),
    ],
)
def test_an_address_means_a_page(path: str, query: str, address: Address) -> None:
    assert addresses.parse(path, query) == address


@pytest.mark.parametrize("any_id", ["537681", "2026-11-20/3/17", "a b&c=d", "№ 7", "100%"])
def test_an_address_that_was_written_is_read_back(any_id: str) -> None:
    path, _, query = addresses.transaction(any_id).partition("?")
    assert addresses.parse(path, f"?{query}") == Transaction(any_id)


def test_a_desk_asked_for_something_else_keeps_the_rest() -> None:
    desk = addresses.parse("/ui/exceptions", "?owner=finance&kind=oversold")
    assert isinstance(desk, Desk)
    assert desk.but(kind="a b&c") == "/ui/exceptions?owner=finance&kind=a+b%26c"
    assert desk.but(owner="", kind="") == "/ui/exceptions"


def test_the_place_and_the_period_of_promises_are_read_back() -> None:
    view = View(channel="a b&c", location="S/1", until=date(2026, 11, 20))
    for address, asked in (
        (addresses.promises(view), Promises(view)),
        (addresses.promise_of("x", view), Promise("x", view)),
    ):
        path, _, query = address.partition("?")
        assert addresses.parse(path, f"?{query}") == asked
