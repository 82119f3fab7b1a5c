"""Files of settlements and bank statements over HTTP: booked, matched, told in lineage; or refused as a whole."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sync_core.settlements.matching import Matcher
from tests.core import Core, later
from tests.estate import Estate, Tell, milestones
from tests.factories import goods_back, goods_in, line, order, payment, refund, shipment
from tests.settlement_files import adyen, amazon, camt053, stripe

Give = Callable[..., dict[str, Any]]
TRANSIT = "assets:payouts in transit"


@pytest.fixture
def give(http: httpx.Client, core: Core) -> Give:
    """Give a file to a connector, and have what it says booked, matched and told."""

    def put(connector: str, content: str | bytes, name: str = "file") -> dict[str, Any]:
        path = f"/v1/files/{connector}/{name}"
        assert http.put(path, content=content).status_code == 202
        deadline = time.monotonic() + 10
        while (told := http.get(path).json())["state"] == "reading":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        core.work()
        matcher = Matcher(core.db, core.rules, lambda: core.now, batch=3)
        while matcher.run_once():
            pass
        found: dict[str, Any] = told
        return found

    return put


def opened(http: httpx.Client, **asked: str) -> list[tuple[str, str, int, str]]:
    rows = http.get("/v1/settlements/open", params=asked).json()
    return [(one["side"], one["reference"] or one["order_id"], one["open_minor"], one["state"]) for one in rows]


def paid(estate: Estate, *order_ids: str, provider: str = "stripe", amount_minor: int = 1000) -> None:
    """Orders that were paid under ``ch_<order>`` and shipped."""
    estate.tell(goods_in(f"D{'/'.join(order_ids)}", {"A1": len(order_ids)}))
    for one in order_ids:
        estate.tell(order(one, line(price_minor=amount_minor)))
        estate.tell(payment(one, amount_minor, provider=provider, payment_id=f"ch_{one}"), shipment(one))


@pytest.mark.proves(60, 63, 140, 147, 65)
def test_from_the_sale_to_the_bank_the_clearing_account_ends_at_nothing(
    http: httpx.Client, estate: Estate, core: Core, journey: Tell, give: Give
) -> None:
    paid(estate, "s1", "s2", "s3")
    estate.tell(goods_back("R1", order_id="s2"), refund("re_2", provider="stripe"))
    assert core.balance("assets:clearing:stripe") == 2000
    assert opened(http, state="expected")[0] == ("item", "ch_s1", 1000, "expected")
    told = give("stripe_payouts", stripe(
        ("charge", "ch_s1", "10.00", "0.59"), ("charge", "ch_s2", "10.00", "0.59"),
        ("charge", "ch_s3", "10.00", "0.59"), ("refund", "re_2/ch_s2", "-10.00", "0"),
        ("dispute", "dp_3/ch_s3", "-10.00", "15.00"), ("fee", "", "-1.00", "0"),
        ("charge", "ch_s4", "20.00", "0"),
    ))  # fmt: skip
    assert (told["state"], told["accepted"], told["lines"]) == ("read", 11 + 1, 12)
    assert core.balance("expenses:processor fees") == 277
    assert core.balance("expenses:chargeback fees") == 1500
    assert core.balance("assets:disputes receivable") == 1000
    assert (core.balance(TRANSIT), core.balance("assets:clearing:stripe")) == (1223, -2000)
    assert opened(http) == [
        ("item", "po_1", 1223, "expected"), ("line", "dp_3", -1000, "disputed"), ("line", "ch_s4", 2000, "expected"),
    ]  # fmt: skip
    paid(estate, "s4", amount_minor=2000)
    give("camt053", camt053(("12.23", "po_1", "STRIPE"), closing="12.23"))
    assert [core.balance(one) for one in ("assets:clearing:stripe", TRANSIT, "assets:bank unidentified")] == [0, 0, 0]
    assert core.balance("assets:bank") == 1223
    assert estate.exceptions() == [("chargeback", "payments", 1000)]
    assert estate.sound()
    of_sale, of_payout = journey("s1"), journey("po_1")
    assert {"settled", "captured", "shipped"} <= set(milestones(of_sale))
    assert {"received", "matched", "banked"} <= set(milestones(of_payout))
    assert [one.reference for one in of_sale.related if one.link == "settles" and one.depth == 1] == ["po_1"]
    linked = {one.reference for one in of_payout.related if one.link == "settles"}
    assert {"s1", "s2", "s3", "s4", "ST-1"} <= linked
    assert "disputed" in milestones(journey("s3"))


@pytest.mark.proves(64, 139, 151, 147)
def test_a_marketplace_pays_net_and_the_books_stay_gross(
    http: httpx.Client, estate: Estate, core: Core, journey: Tell, give: Give
) -> None:
    number = "111-1234567-1234567"
    short = "111-7654321-7654321"
    paid(estate, number, provider="amazon", amount_minor=10500)
    paid(estate, short, provider="amazon", amount_minor=5000)
    rows = [
        ("Order", number, "ItemPrice", "Principal", "100,00"), ("Order", number, "ItemPrice", "Shipping", "5,00"),
        ("Order", short, "ItemPrice", "Principal", "45,00"), ("Order", number, "ItemPrice", "Tax", "8,66"),
        ("Order", number, "ItemWithheldTax", "MarketplaceFacilitatorTax-Principal", "-8,66"),
        ("Order", number, "ItemFees", "Commission", "-15,00"),
        ("Order", number, "ItemFees", "FBAPerUnitFulfillmentFee", "-3,50"),
        ("Order", number, "ItemFees", "NewThing", "-0,04"),
        ("other-transaction", "FBA15DHN", "FBAFees", "Storage", "-1,00"),
        ("other-transaction", "", "other-transaction", "Current Reserve Amount", "-1.010,00"),
        ("other-transaction", "", "other-transaction", "Previous Reserve Amount Balance", "1.000,00"),
    ]  # fmt: skip
    assert give("amazon_settlement_v2", amazon(*rows, total="120,46", posted="09/03/26"))["state"] == "read"
    assert core.balance("assets:clearing:amazon") == 500, "what the marketplace did not pay"
    assert core.balance("expenses:marketplace") == 1500 + 350 + 100
    assert (core.balance("assets:marketplace reserve"), core.balance(TRANSIT)) == (1000, 12046)
    assert core.balance("liabilities:tax collected by marketplaces") == 0
    assert core.balance("assets:settlements in suspense") == 4
    assert estate.exceptions() == [("settlement_unknown_fee", "finance", 4)]
    assert "settled" in milestones(journey(number))
    assert opened(http, account="assets:clearing") == [("item", f"ch_{short}", 500, "partially matched")]
    assert "settled" not in milestones(journey(short))
    later(core, days=22)
    Matcher(core.db, core.rules, lambda: core.now).run_once()
    assert ("settlement_missing", "payments", 500) in estate.exceptions()
    assert estate.sound()


def test_a_file_that_is_not_right_is_refused_whole_with_its_line(
    http: httpx.Client, estate: Estate, core: Core, give: Give
) -> None:
    good = stripe(("charge", "ch_1", "10.00", "0.59"), ("charge", "ch_2", "10.00", "0.59"))
    short = amazon(("Order", "111-1234567-1234567", "ItemPrice", "Principal", "9.99"), total="10.00")
    for connector, content, reason in (
        ("stripe_payouts", good.replace(",0.59,9.41", ",0.59,9.42", 1), "line 2: gross 10.00 less fee 0.59"),
        ("stripe_payouts", good.replace("txn_po_1_2", "txn_po_1_1"), "line 3: balance_transaction_id txn_po_1_1"),
        ("stripe_payouts", good.replace("reporting_category", "category"), "line 1: there is no column reporting_"),
        ("stripe_payouts", good[:-60], "line 3: expected 26 columns, found"),
        ("stripe_payouts", good.replace("gbp", "eur", 1), "line 3: GBP in settlement po_1, which is in EUR"),
        ("stripe_payouts", good.replace("10.00", "ten", 1), "line 2: gross is 'ten'"),
        ("stripe_payouts", good.replace("2026-03-05", "03/05/26", 1), "line 2: automatic_payout_effective_at is"),
        ("stripe_payouts", good.replace("ch_1", "ch_\u00e9").encode("latin-1"), "line 2: not UTF-8"),
        ("stripe_payouts", good.replace("po_1,2026", "p" * 201 + ",2026", 1), "settlement_id"),
        ("stripe_payouts", stripe(("charge", "ch_1", "10.00", "0"), ("payout", "po_1", "-9.00", "0")),
         "settlement po_1 does not add up: 1.00 GBP are left over"),
        ("amazon_settlement_v2", short, "line 3: the rows come to 9.99 GBP, the summary says 10.00"),
        ("amazon_settlement_v2", short.splitlines(keepends=True)[0], "line 2: the summary row"),
        ("adyen_settlement", adyen(("Settled", "8835", "A1", "9.80", "0.20"), ("MerchantPayout", "", "", "-9.81", "")),
         "line 3: settlement ShopGB-16 does not add up: -0.01 GBP"),
        ("camt053", camt053(("9.80", "", ""), closing="9.81"), "entries lead to 9.80, its closing balance is 9.81"),
        ("camt053", camt053(("9.80", "", ""), closing="9.80")[:-50], "not XML, or cut off"),
        ("camt053", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "line 1: a statement has no document type"),
    ):  # fmt: skip
        told = give(connector, content)
        assert (told["state"], told["accepted"]) == ("failed", 0), reason
        assert reason in told["error"]
    assert core.one("select count(*) from core.journals") == 0
    assert core.one("select count(*) from core.settlement_lines") == 0
    assert http.get("/v1/settlements").json() == []
    assert {kind for kind, _, _ in estate.exceptions()} == {"settlement_refused"}
    assert len(core.spans()) == 16
    assert http.put("/v1/files/worldpay/x", content=b"").status_code == 404


def test_a_file_again_changes_nothing_and_a_corrected_one_reverses_the_first(
    http: httpx.Client, estate: Estate, core: Core, journey: Tell, give: Give
) -> None:
    paid(estate, "c1", "c2")
    first = stripe(("charge", "ch_c1", "10.00", "0.59"), ("charge", "ch_c2", "10.01", "0.60"))
    give("stripe_payouts", first)
    give("camt053", camt053(("18.82", "", "REF po_1 STRIPE"), closing="18.82"))
    before = core.journal()
    again = give("stripe_payouts", first, "other name")
    assert (again["accepted"], again["duplicates"]) == (0, 5)
    assert core.journal() == before
    assert core.balance("expenses:settlement differences") == -1, "the provider rounds otherwise"
    corrected = stripe(("charge", "ch_c1", "10.00", "0.50"), ("charge", "ch_c2", "10.00", "0.60"))
    assert give("stripe_payouts", corrected)["accepted"] == 5
    assert core.journal().count("settlement_reversal") > 0
    assert (core.balance("expenses:processor fees"), core.balance("expenses:settlement differences")) == (110, 0)
    assert (core.balance("assets:clearing:stripe"), core.balance(TRANSIT)) == (0, 8)
    assert opened(http) == [("item", "po_1", 8, "partially matched")]
    told = http.get("/v1/settlements", params={"origin": "stripe"}).json()
    versions = [(one["version"], one["state"]) for one in told]
    assert versions == [(2, "matched"), (1, "superseded")]
    assert "superseded" in milestones(journey("po_1"))
    assert estate.sound()


def test_a_corrected_statement_reverses_what_was_booked_matched_and_written_off_of_the_first(
    http: httpx.Client, estate: Estate, core: Core, give: Give
) -> None:
    paid(estate, "k1", "k2")
    give("stripe_payouts", stripe(("charge", "ch_k1", "10.00", "0.59")))
    give("stripe_payouts", stripe(("charge", "ch_k2", "10.00", "0.59"), ("charge", "lost", "7.00", "0"), payout="po_2"))
    first = camt053(("9.41", "po_1", ""), ("16.40", "po_2", ""), ("3.00", "", "GIFT"), closing="28.81")
    give("camt053", first)
    sides = {one["reference"]: one["id"] for one in http.get("/v1/settlements/open").json() if one["side"] == "line"}
    for one in ("", "lost"):
        decision = {"by": "ann", "reason": "nobody's", "lines": [sides[one]]}
        assert http.post("/v1/settlements/write_off", json=decision).status_code == 200
    assert (core.balance("expenses:settlement write-offs"), core.balance(TRANSIT)) == (-1000, 1)
    assert estate.sound()
    later(core, days=1)
    give("camt053", camt053(("9.40", "po_1", ""), ("16.41", "po_2", ""), closing="25.81"))
    assert (core.balance("assets:bank"), core.balance("assets:bank unidentified")) == (2581, 0)
    assert (core.balance("expenses:settlement write-offs"), core.balance(TRANSIT)) == (-700, 1)
    versions = [(one["version"], one["state"]) for one in http.get("/v1/settlements").json() if one["kind"] == "bank"]
    assert versions == [(2, "matched"), (1, "superseded")]
    give("stripe_payouts", stripe(("charge", "ch_k2", "10.00", "0.59"), ("charge", "lost", "7.01", "0"), payout="po_2"))
    assert core.balance("expenses:settlement write-offs") == 0, "what is written off of a version goes with it"
    assert core.balance("assets:clearing:stripe") == -701
    assert estate.sound()
    used_again = camt053(("1.00", "", ""), closing="1.00").replace("2026-03-06", "2027-03-06")
    assert "statement ST-1 is known of 2026-03-06" in give("camt053", used_again)["error"]


def test_a_batch_in_two_currencies_is_a_settlement_in_each(
    http: httpx.Client, estate: Estate, core: Core, give: Give
) -> None:
    paid(estate, "u1", "u2", provider="adyen")
    rows = [("Settled", "ch_u1", "", "9.80", "0.20"), ("Settled", "ch_u2", "", "9.50", "0.50"),
            ("MerchantPayout", "", "", "-9.80", ""), ("MerchantPayout", "", "", "-9.50", "")]  # fmt: skip
    lines = adyen(*rows).splitlines(keepends=True)
    mixed = "".join(one.replace("GBP", "EUR") if number in (2, 4) else one for number, one in enumerate(lines))
    assert give("adyen_settlement", mixed)["state"] == "read"
    settled = {(one["settlement_id"], one["currency"]) for one in http.get("/v1/settlements").json()}
    assert settled == {("ShopGB-16/GBP", "GBP"), ("ShopGB-16/EUR", "EUR")}
    assert estate.exceptions() == [("settlement_currency", "payments", 1000)], "a sale in pounds is not paid in euros"
    assert give("adyen_settlement", mixed)["accepted"] == 0
    alone = adyen(*rows[::2], batch="17")
    for content, ids in ((alone, {"ShopGB-17"}), (mixed.replace(",16", ",17"), {"ShopGB-17", "ShopGB-17/EUR"})):
        give("adyen_settlement", content)
        found = {one["settlement_id"] for one in http.get("/v1/settlements").json()}
        assert {one for one in found if "-17" in one} == ids, "what was one currency is corrected under its number"
    assert estate.sound()


PAYPAL = """
origin = "paypal"
delimiter = ";"
decimal = ","
dates = ["%d.%m.%Y"]
charges = "negative"

[columns]
settlement_id = "Batch"
amount = "Gross"
fee = "Fee"
currency = "Currency"
date = "Date"
type = "Type"
reference = "Transaction ID"
order_id = "Invoice"

[types]
"Express Checkout" = "sale"
"Refund" = "refund"
"""
BANK = """
origin = "bank.main"
kind = "bank"
currency = "GBP"
[columns]
amount = "Amount"
date = "Date"
alternate = "Text"
balance = "Balance"
"""


@pytest.mark.proves(154)
def test_any_table_is_read_by_a_mapping_and_settles_in_parts(
    http: httpx.Client, estate: Estate, core: Core, give: Give
) -> None:
    refused = http.put("/v1/mappings/paypal", content=PAYPAL.replace("delimiter", "delimeter"))
    assert (refused.status_code, "`delimeter`" in refused.json()["detail"]) == (400, True)
    assert http.put("/v1/mappings/paypal", content=PAYPAL.replace('"sale"', '"sold"')).json()["field"] == "types[...]"
    assert http.put("/v1/mappings/camt053", content=BANK).status_code == 409
    for name, body in (("paypal", PAYPAL), ("bank", BANK)):
        assert http.put(f"/v1/mappings/{name}", content=body).status_code == 200
    paid(estate, "m1", "m2", provider="paypal", amount_minor=2000)
    head = "Date;Batch;Type;Gross;Fee;Currency;Transaction ID;Invoice\n"
    sale = "04.03.2026;B{};Express Checkout;{};{};GBP;ch_{};\n"
    give("paypal", head + sale.format(1, "15,00", "-0,40", "m1") + sale.format(1, "20,00", "0", "m2"))
    assert opened(http, account="assets:clearing") == [("item", "ch_m1", 500, "partially matched")]
    give("paypal", head + sale.format(2, "2,00", "", "m1") + sale.format(2, "3,00", "", "m1"))
    assert opened(http, account="assets:clearing") == []
    bank = (
        "Date,Text,Amount,Balance\n2026-03-06,PAYPAL B1 X,34.60,134.60\n2026-03-07,RENT,-5.00,129.60\n"
        "2026-03-07,PAYPAL B2,5.00,134.60\n"
    )
    gap = give("bank", bank.replace("129.60", "129.61"))["error"]
    assert "line 3: Balance is 129.61, after the entry before it would be 129.60" in gap
    give("bank", bank, "2026-03")
    assert (core.balance(TRANSIT), core.balance("assets:clearing:paypal")) == (0, 0)
    assert (core.balance("assets:bank unidentified"), core.balance("assets:bank")) == (500, 500 + 3460)
    assert estate.sound()


def test_currencies_never_match_each_other(http: httpx.Client, estate: Estate, core: Core, give: Give) -> None:
    paid(estate, "e1")
    give("stripe_payouts", stripe(("charge", "ch_e1", "10.00", "0")).replace("gbp", "eur"))
    sides = opened(http, account="assets:clearing")
    assert sides == [("item", "ch_e1", 1000, "unmatched"), ("line", "ch_e1", 1000, "unmatched")]
    assert estate.exceptions() == [("settlement_currency", "payments", 1000)]
    item, line_too = http.get("/v1/settlements/open", params={"account": "assets:clearing"}).json()
    both = {"lines": [line_too["id"]], "items": [item["id"]]}
    refused = http.post("/v1/settlements/match", json={"by": "ann", "reason": "same"} | both)
    assert (refused.status_code, refused.json()["field"]) == (422, "items")
    assert estate.sound()


@pytest.mark.proves(150, 152, 195)
def test_what_is_not_settled_in_time_is_somebodys_until_it_comes(
    http: httpx.Client, estate: Estate, core: Core, journey: Tell, give: Give
) -> None:
    paid(estate, "w1", "w2")
    give("stripe_payouts", stripe(("charge", "ch_w1", "10.00", "0"), ("charge", "ch_w9", "30.00", "0")))
    matcher = Matcher(core.db, core.rules, lambda: core.now)
    assert (matcher.run_once(), estate.exceptions()) == (0, []), "what is expected is nobody's fault"
    later(core, days=8)
    assert (matcher.run_once(), matcher.run_once()) == (3, 0)
    assert sorted(estate.exceptions()) == [
        ("payout_missing", "treasury", 4000), ("settlement_line_unmatched", "finance", 3000),
        ("settlement_missing", "payments", 1000),
    ]  # fmt: skip
    assert {state for *_, state in opened(http)} == {"unmatched"}
    assert milestones(journey("w2"))[-1] == "opened"
    give("adyen_settlement", adyen(("Settled", "8835", "A1", "9.80", "0.20"), ("Balancetransfer", "", "", "-9.80", "")))
    give("stripe_payouts", stripe(("charge", "ch_w2", "10.00", "0.10"), payout="po_2"))
    give("camt053", camt053(("40.00", "po_1", ""), ("9.90", "po_2", ""), ("1.00", "", "GIFT"), closing="50.90"))
    assert estate.exceptions() == [("settlement_line_unmatched", "finance", 3000)]
    assert core.balance("assets:balances carried by providers") == 980
    assert "settled" in milestones(journey("w2"))
    assert estate.sound()


def test_a_payout_that_the_bank_gives_back_and_one_below_zero(
    http: httpx.Client, estate: Estate, core: Core, journey: Tell, give: Give
) -> None:
    paid(estate, "b1")
    give("stripe_payouts", stripe(("charge", "ch_b1", "10.00", "0.59")))
    give("stripe_payouts", stripe(("fee", "", "0", "2.00"), payout="po_2"))
    give("camt053", camt053(("9.41", "po_1", ""), ("-2.00", "po_2", ""), closing="7.41"))
    assert (core.balance("assets:clearing:stripe"), core.balance(TRANSIT), opened(http)) == (0, 0, [])
    give("camt053", camt053(("-9.41", "po_1", "RETURNED"), opening="7.41", closing="-2.00", number="ST-2"))
    later(core, days=3)
    Matcher(core.db, core.rules, lambda: core.now).run_once()
    assert estate.exceptions() == [("payout_returned", "treasury", 941)]
    assert "9.41 GBP of payout po_1 back" in next(
        hop.reason for hop in journey("po_1").hops if hop.milestone == "opened"
    )
    assert estate.sound()


@pytest.mark.proves(155)
def test_people_match_and_write_off_within_a_limit_and_it_is_on_record(
    http: httpx.Client, estate: Estate, core: Core, journey: Tell, give: Give
) -> None:
    paid(estate, "h1", "h2")
    give("stripe_payouts", stripe(("charge", "wrong", "9.90", "0"), ("charge", "ch_x", "60.00", "0")))
    later(core, days=8)
    Matcher(core.db, core.rules, lambda: core.now).run_once()
    sides = {one["reference"]: one["id"] for one in http.get("/v1/settlements/open").json()}

    def decide(action: str, **what: Any) -> httpx.Response:
        return http.post(f"/v1/settlements/{action}", json={"by": "ann", "reason": "same sale"} | what)

    above = decide("write_off", lines=[sides["ch_x"]])
    assert (above.status_code, "the limit is 5000" in above.json()["detail"]) == (422, True)
    assert decide("match", lines=[sides["wrong"]], items=[]).json()["field"] == "lines"
    assert decide("match", lines=[10**9], items=[sides["ch_h1"]]).json()["field"] == "lines"
    matched = decide("match", lines=[sides["wrong"]], items=[sides["ch_h1"]])
    assert matched.json() == {"matches": 1, "amount_minor": 990, "difference_minor": 10, "currency": "GBP"}
    assert decide("match", lines=[sides["wrong"]], items=[sides["ch_h1"]]).status_code == 422
    assert decide("write_off", items=[sides["ch_h2"]]).status_code == 200
    Matcher(core.db, core.rules, lambda: core.now).run_once()
    assert core.balance("expenses:settlement differences") == 10
    assert core.balance("expenses:settlement write-offs") == 1000
    assert core.balance("assets:clearing:stripe") == -6000, "what was not explained stays open"
    told = http.get("/v1/settlements/decisions").json()
    records = [(one["rule"], one["by"], one["reason"], one["amount_minor"]) for one in told]
    assert records == [("written off", "ann", "same sale", 1000), ("by hand", "ann", "same sale", 990)]
    assert {kind for kind, _, _ in estate.exceptions()} == {"payout_missing", "settlement_line_unmatched"}
    assert any("by hand: ann: same sale" in hop.reason for hop in journey("h1").hops)
    assert any("written off by ann" in hop.reason for hop in journey("h2").hops)
    assert estate.sound()


def test_amount_and_date_alone_propose_and_never_book(
    http: httpx.Client, estate: Estate, core: Core, give: Give
) -> None:
    paid(estate, "q1")
    give("stripe_payouts", stripe(("charge", "ch_q1", "10.00", "0.59")))
    give("camt053", camt053(("9.41", "", "STRIPE"), closing="9.41"))
    [one] = http.get("/v1/settlements/proposals").json()
    assert (one["account"], one["amount_minor"], core.balance(TRANSIT)) == (TRANSIT, 941, 941)
