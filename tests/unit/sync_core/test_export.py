"""The journal as text: every line of it, in the order given, in forms that others read."""

import datetime as dt
import subprocess
from typing import Any

from sync_core.ledger.export import COLUMNS, beancount, canonical, hledger

AT = dt.datetime(2026, 3, 2, 12, 0, tzinfo=dt.UTC)


def row(
    journal_id: str, line_no: int, account: str, amount: int, kind: str = "", quantity: int = 0, tax_code: str = ""
) -> tuple[Any, ...]:
    document, _, entity_id = journal_id.partition(":")[2].partition("/")
    head = (AT, journal_id, AT.date(), document, entity_id, "web", "WH1", "GBP", "ab" * 16, "2026-11.1")
    return (
        *head,
        line_no,
        account,
        amount,
        kind,
        quantity,
        1 if kind else 0,
        "live",
        "main",
        amount,
        "GBP",
        None,
        tax_code,
    )


ROWS = [
    row("shop:order/1", 1, "liabilities:contract:goods", -1000, "goods", 2),
    row("shop:order/1", 2, "assets:clearing:card", 1000),
    row("shop:refund/F,1", 1, "liabilities:refunds:approved", 5),
    row("shop:refund/F,1", 2, "assets:clearing:card", -4),
    row("shop:refund/F,1", 3, "liabilities:sales tax", -1, tax_code="GB20"),
]


def test_the_canonical_form_is_one_row_a_line() -> None:
    assert "".join(canonical(ROWS)).splitlines() == [
        ",".join(COLUMNS),
        "2026-03-02T12:00:00+00:00,shop:order/1,2026-03-02,order,1,web,WH1,GBP,abababababababababababababababab,"
        "2026-11.1,1,liabilities:contract:goods,-1000,goods,2,1,live,main,-1000,GBP,,",
        "2026-03-02T12:00:00+00:00,shop:order/1,2026-03-02,order,1,web,WH1,GBP,abababababababababababababababab,"
        "2026-11.1,2,assets:clearing:card,1000,,0,0,live,main,1000,GBP,,",
        '2026-03-02T12:00:00+00:00,"shop:refund/F,1",2026-03-02,refund,"F,1",web,WH1,GBP,'
        "abababababababababababababababab,2026-11.1,1,liabilities:refunds:approved,5,,0,0,live,main,5,GBP,,",
        '2026-03-02T12:00:00+00:00,"shop:refund/F,1",2026-03-02,refund,"F,1",web,WH1,GBP,'
        "abababababababababababababababab,2026-11.1,2,assets:clearing:card,-4,,0,0,live,main,-4,GBP,,",
        '2026-03-02T12:00:00+00:00,"shop:refund/F,1",2026-03-02,refund,"F,1",web,WH1,GBP,'
        "abababababababababababababababab,2026-11.1,3,liabilities:sales tax,-1,,0,0,live,main,-1,GBP,,GB20",
    ]


def test_a_long_journal_comes_in_pieces_and_loses_nothing() -> None:
    many = [row(f"shop:order/{number}", 1, "a:b", 0, "goods") for number in range(1201)]
    pieces = list(canonical(many))
    assert len(pieces) == 3
    lines = "".join(pieces).splitlines()
    assert (len(lines), lines[-1].split(",")[1]) == (1202, "shop:order/1200")
    assert "".join(canonical([])).splitlines() == [",".join(COLUMNS)]


def test_the_form_for_the_auditor_is_an_entry_a_journal() -> None:
    assert "".join(hledger(ROWS)) == (
        "2026-03-02 * (shop:order/1) order 1  ; corr:abababababababababababababababab, channel:web, entity:main\n"
        "    liabilities:contract:goods  -10.00 GBP  ; kind:goods, source:live\n"
        "    assets:clearing:card  10.00 GBP  ; source:live\n"
        "\n"
        "2026-03-02 * (shop:refund/F,1) refund F,1  ; corr:abababababababababababababababab, channel:web, entity:main\n"
        "    liabilities:refunds:approved  0.05 GBP  ; source:live\n"
        "    assets:clearing:card  -0.04 GBP  ; source:live\n"
        "    liabilities:sales tax  -0.01 GBP  ; source:live, tax_code:GB20\n"
        "\n"
    )


def test_an_outside_auditor_reads_it_and_sees_an_imbalance() -> None:
    def check(rows: list[tuple[Any, ...]]) -> int:
        text = "".join(hledger(rows))
        return subprocess.run(["hledger", "-f", "-", "check"], input=text, text=True, capture_output=True).returncode

    assert check(ROWS) == 0
    assert check(ROWS[:-1]) == 1


def test_books_in_another_currency_say_what_each_line_is_worth_there() -> None:
    eur = [(*one[:7], "EUR", *one[8:18], one[12] * 2, "USD", AT.date(), "GB20") for one in ROWS[:2]]
    assert "".join(hledger(eur)).splitlines()[:2] == [
        "2026-03-02 * (shop:order/1) order 1  ; corr:abababababababababababababababab, channel:web, entity:main,"
        " original:2026-03-02",
        "    liabilities:contract:goods  -10.00 EUR @@ 20.00 USD  ; kind:goods, source:live, tax_code:GB20",
    ]
    assert "".join(beancount(eur)).splitlines() == [
        "1970-01-01 open Liabilities:Contract:Goods",
        "1970-01-01 open Assets:Clearing:Card",
        '2026-03-02 * "shop:order/1"',
        '  correlation: "abababababababababababababababab"',
        "  Liabilities:Contract:Goods  -10.00 EUR @@ 20.00 USD",
        '    tax-code: "GB20"',
        "  Assets:Clearing:Card  10.00 EUR @@ 20.00 USD",
        '    tax-code: "GB20"',
        "",
    ]
