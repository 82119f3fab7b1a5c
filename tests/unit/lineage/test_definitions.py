from pathlib import Path

import pytest

from lineage import flows, slas
from lineage.deadlines import Deadline
from lineage.definitions import DefinitionError

STEP = """
[order]
title = "Order"
begins = "order.captured"
[[order.steps]]
name = "reserved"
title = "stock reserved"
milestone = "{milestone}"
after = "order.captured"
within = "{within}"
{more}
"""

SLA = """
[refund_to_ledger]
{change}
"""


def write(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    return path


def step(milestone: str = "order.reserved", within: str = "15 min", more: str = 'owner = "inventory"') -> str:
    return STEP.format(milestone=milestone, within=within, more=more)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (step(milestone="order.reservd"), "steps.reserved.milestone: unknown milestone 'order.reservd'; order has: "),
        (step(milestone="ordr.reserved"), "unknown milestone 'ordr.reserved'; entities are: order, fulfilment"),
        (step(within="15 mins"), "order.steps.reserved.within: '15 mins' is no deadline"),
        (step(more=""), "order.steps.reserved.owner: a step that is expected needs an owner"),
        (step(more='owner = "x"\nunless = ["refund.failed"]'), "'refund.failed' is not of the entity of"),
        (step(more='owner = "x"\nid = "order"'), "order.steps.reserved.id: 'order' must hold {id} once"),
        (step(more='owner = "x"\nwhithin = "1 h"'), "Object contains unknown field `whithin`"),
        (step() + step()[step().index("[[") :], "order.steps: 'reserved' is declared twice"),
        (step().replace("[[", 'includes = ["none"]\n[[', 1), "order.includes: no flow is called 'none'"),
        ("[order", "mine.toml: "),
    ],
)
def test_a_bad_flow_is_refused_with_its_place(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        flows.load(write(tmp_path, content))
    assert "mine.toml: " in str(refusal.value)
    assert message in str(refusal.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"none\.toml: No such file"):
        flows.load(tmp_path / "none.toml")


def test_the_delivered_flows() -> None:
    loaded = flows.load(promises=slas.load())
    steps = {one.name: one for one in loaded.listed}
    assert [one.flow for one in loaded.expecting if one not in loaded.listed] == ["canary", "canary"]
    assert list(steps) == [
        "acknowledged", "sales-order-accepted", "reserved", "supplied", "payment-settled", "shipped",
            "shipped-after-renewal", "fulfilled",
        "delivered", "confirmed", "shipment-journaled", "decided", "received", "inspected", "dispositioned",
        "refund-approved", "refund-executed", "refunded", "closed", "refund-in-ledger", "erp-accepted", "resolved",
        "matched",
    ]  # fmt: skip
    assert steps["refund-in-ledger"].deadline == Deadline(text="4 h", seconds=4 * 3600)
    assert steps["refund-in-ledger"].object_id("C538698") == "refund/C538698"
    assert steps["erp-accepted"].leaves_to_others == ("refund/",)
    assert all(one.deadline for one in loaded.expecting)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("target = 1.0", "refund_to_ledger.target: 1.0 must lie between 0 and 1"),
        ('deadline = "soon"', "refund_to_ledger.deadline: 'soon' is no deadline"),
        ('deadline_by_channel = { store = "06:00" }', "deadline_by_channel.store: '06:00' is no deadline"),
        ('start = "refund.isued"', "refund_to_ledger.start: unknown milestone 'refund.isued'"),
        ('ends = ["posting.journaled", "order.closed"]', "refund_to_ledger.ends: must be milestones of one entity"),
        ('ends = ["order.closed", "order.edited", "order.taxed", "order.routed"]', "ends: 4 are more than 3"),
        ('excused = ["order.cancelled"]', "excused: must be milestones of the entity of 'refund.issued'"),
        ('end_id = "refund"', "refund_to_ledger.end_id: 'refund' must hold {id} once"),
        ('segments = [["store"]]', "refund_to_ledger: Invalid enum value 'store' - at `$.segments[0][0]`"),
        ("window_days = 0", "refund_to_ledger.window_days: 0 must lie between 1 and 400"),
        ('stale_after = "1 business day"', "refund_to_ledger.stale_after: '1 business day' must be a length of time"),
        ('calendar = { zone = "Mars/Base" }', "refund_to_ledger.calendar: unknown time zone 'Mars/Base'"),
        ('owner = ""', "refund_to_ledger.owner: a promise needs an owner"),
        ('dedline = "4 h"', "refund_to_ledger: Object contains unknown field `dedline`"),
        ("ends = []", "refund_to_ledger.ends: a definition of kind 'interval' needs it"),
        ('[stock_freshness]\nhours_by_channel = { store = "8-20" }', "'8-20' are no opening hours"),
        ('[mine]\nkind = "interval"', "mine: Object missing required field `title`"),
        ("\n\ntarget = 2.0", "both excluded (line 5)"),
        ('dedline = "4 h"', "(line 3)"),
        ('calendar = { opens = "9" }', "'9' is no time of day"),
        ('calendar = { opens = "17:00", closes = "09:00" }', "opens 17:00 and closes 09:00"),
        ("calendar = { days_off = [0, 1, 2, 3, 4, 5, 6] }", "every day of the week is off"),
        ('paused = [["order.backordered", "order.reserved"]]', "paused: must be milestones of the entity of"),
        ('spoiled_by = ["exception.open"]', "spoiled_by[0]: unknown milestone 'exception.open'"),
        ('deadline_by_kind = { a = "1 h" }', "may differ by channel, by kind or by severity, not by two"),
        ("target_by_channel = { web = 0.0 }", "target_by_channel.web: 0.0 must lie between 0 and 1"),
        ('of = ["stock_freshness"]', "of: means nothing in a definition of kind 'interval'"),
        ('[system_health]\nof = ["nothing"]', "no promise that is measured is called 'nothing'"),
        ("[reconciliation_backlog]\nallowed_share = 0.0", "allowed_share: a definition of kind 'backlog' needs it"),
        ('[replay_volume]\nallowed_shares = { "message.replayed" = 1.5 }', "message.replayed: 1.5 must lie between"),
        (
            '[replay_volume]\nannounced = { "message.failed" = "message.replay_announced" }',
            "announced: 'message.failed' is none of allowed_shares",
        ),
        ('[replay_volume]\nannounced = { "message.replayed" = "order.captured" }', "announced: must be milestones of"),
    ],
)
def test_a_bad_sla_is_refused_with_its_reason(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        slas.load(write(tmp_path, SLA.format(change=change)))
    assert "mine.toml: " in str(refusal.value)
    assert message in str(refusal.value)


def test_the_delivered_slas() -> None:
    freshness, refund, variance, *_ = slas.load()
    assert (freshness.deadline_for("web").seconds, freshness.deadline_for("trade").seconds) == (60, 75 * 60)
    assert freshness.deadline_for("unheard of").seconds == 300
    assert (refund.start, refund.ends) == ("refund.issued", ("posting.journaled", "posting.erp_accepted"))
    assert (refund.deadline.seconds, refund.target, refund.window_days) == (14400, 0.99, 28)
    assert (variance.level, variance.deadline.text) == ("", "next business day 09:00")
    assert refund.rule() == (
        "From refund.issued to posting.journaled and posting.erp_accepted of refund/{id} within 4 h "
        "(store: next day 06:00); excused after refund.failed."
    )


def test_an_override_changes_only_what_it_says(tmp_path: Path) -> None:
    path = write(tmp_path, '[refund_to_ledger]\ndeadline = "60 s"\ndeadline_by_channel = { web = "30 s" }')
    _, refund, variance, *_ = slas.load(path)
    _, before, same, *_ = slas.load()
    assert (refund.deadline.seconds, refund.deadline_for("web").seconds) == (60, 30)
    assert refund.deadline_for("store").text == "next day 06:00"
    assert (refund.start, refund.owner, refund.thresholds) == (before.start, before.owner, before.thresholds)
    assert refund.definition != before.definition
    assert variance.definition == same.definition
