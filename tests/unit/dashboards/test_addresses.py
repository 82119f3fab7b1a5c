import pytest

from dashboards import addresses
from dashboards.addresses import Address, Nowhere, Promise, Promises, Transaction


@pytest.mark.parametrize(
    ("path", "query", "address"),
    [
        ("/ui/", "", Promises()),
        ("/ui", "", Promises()),
        ("/ui/sla/refund_to_ledger", "", Promise("refund_to_ledger")),
        ("/ui/transaction", "", Transaction("")),
        ("/ui/transaction", "?id=537681", Transaction("537681")),
        ("/ui/transaction", "?id=2026-11-20%2F3%2F17", Transaction("2026-11-20/3/17")),
        ("/ui/transaction/537681", "", Transaction("537681")),
        ("/ui/transaction/2026-11-20/3/17", "", Transaction("2026-11-20/3/17")),
        ("/ui/transaction", "?id=%20537681+", Transaction("537681")),
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
