"""A journal that does not balance cannot be built, and posting rules that say too little or too much are refused."""

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from sync_core.errors import UnbalancedJournalError
from sync_core.ledger.ledger import RULES_FILE, JournalLine, balanced, load_rules
from sync_core.messages import LineKind


def test_debits_equal_credits_or_there_is_no_journal() -> None:
    lines = [JournalLine("assets:a", 5, "live"), JournalLine("revenue:b", -4, "live")]
    with pytest.raises(UnbalancedJournalError, match="debits exceed credits by 1 minor units"):
        balanced(lines)
    with pytest.raises(UnbalancedJournalError, match="by -4"):
        balanced(lines[1:])


def test_lines_that_say_nothing_are_left_out_and_those_that_state_a_kind_are_kept() -> None:
    stated = JournalLine("revenue:goods", 0, "file", kind="goods_free", quantity=3, line_count=1)
    assert balanced([JournalLine("assets:a", 0, "live"), stated]) == (stated,)
    assert balanced([JournalLine("assets:a", 0, "live")]) == ()


def test_the_rules_name_accounts_for_every_kind_and_a_deadline_for_every_document() -> None:
    rules = load_rules()
    assert set(rules.kinds) == {"goods_free", "tax", *get_args(LineKind)}
    assert rules.clearing("card") == "assets:clearing:card"
    assert rules.kinds["gift"].revenue == ""
    assert rules.deadline_minutes["shipment"] == 60
    assert rules.deadline_minutes["refund"] == 240


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ('version = "2026-11.6"', "", "version"),
        ("order = 60", 'order = "soon"', r"\$.deadline_minutes"),
        ('inventory = "assets:inventory:sellable"', "", "inventory"),
        ('contract = "liabilities:contract:goods"', "", r"\$.kinds"),
        ('credit = "revenue:returns"', 'credit = "revenue:returns"\ncrdit = "x"', "crdit"),
    ],
)
def test_rules_of_another_form_are_refused_and_the_key_is_named(
    before: str, after: str, named: str, tmp_path: Path
) -> None:
    path = tmp_path / "rules.toml"
    text = RULES_FILE.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(msgspec.ValidationError, match=named):
        load_rules(path)
