"""The simulated estate tells one story per seed, and a story that the books can follow."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from sync_core.messages import (
    FeedReported,
    OrderCancelled,
    OrderCaptured,
    OrderStepped,
    PaymentCaptured,
    ShipmentShipped,
    StockReceived,
    from_cloudevents,
)
from sync_core.returns.messages import (
    RefundIssued,
    ReturnDispositioned,
    ReturnInspected,
    ReturnItemsReceived,
    ReturnReceived,
    ReturnRequested,
    ReturnShipped,
)
from tallytrace.estate import payouts, rhythm
from tallytrace.estate.lives import Life
from tallytrace.estate.retailer import STORES, catalogue
from tallytrace.estate.story import (
    DAYS,
    Sights,
    count_days,
    deliveries,
    history,
    live,
    lives,
    opening,
    order_lists,
    sights,
)
from tallytrace.estate.telling import Happening, encode

NOW = datetime(2026, 3, 4, 11, 23, 45, tzinfo=UTC)
SECOND = int(NOW.timestamp())
SOME_DAYS = 8


def minutes(seed: int, count: int = 6, rate: float = 3) -> list[Happening]:
    told = [each for second in range(SECOND, SECOND + 60 * count) for each in live(seed, second, rate)]
    return sorted(told, key=lambda each: each.at)


@pytest.fixture(scope="module")
def told() -> list[Life]:
    return lives(5, NOW, SOME_DAYS)


@pytest.fixture(scope="module")
def past(told: list[Life]) -> list[Happening]:
    sold, back = history(told, NOW)
    return sorted([*deliveries(5, NOW, SOME_DAYS), *sold, *back], key=lambda each: each.at)


@pytest.fixture(scope="module")
def present() -> list[Happening]:
    return minutes(5)


@pytest.fixture(params=["past", "present"])
def story(request: pytest.FixtureRequest) -> list[Happening]:
    found: list[Happening] = request.getfixturevalue(request.param)
    return found


def test_the_same_seed_and_time_tell_the_same_story() -> None:
    hour = NOW.replace(minute=0) - timedelta(days=DAYS - 1)
    assert lives(5, hour)[:500] == lives(5, hour)[:500] != lives(6, hour)[:500]
    assert live(5, SECOND, 3) == live(5, SECOND, 3)


def test_a_restart_later_tells_again_what_was_told_before(told: list[Life]) -> None:
    before = {life.order_id: life for life in told}
    later = {life.order_id: life for life in lives(5, NOW + timedelta(days=1), SOME_DAYS)}
    shared = before.keys() & later.keys()
    assert len(shared) > 3_000
    assert all(before[key] == later[key] for key in shared)


def test_an_identity_is_used_once(story: list[Happening]) -> None:
    assert len({(each.source, each.event_id) for each in story}) == len(story)
    orders = [(each.event.origin, each.event.order_id) for each in story if isinstance(each.event, OrderCaptured)]
    assert len(set(orders)) == len(orders)


def test_every_event_is_one_that_the_core_accepts(story: list[Happening]) -> None:
    some = story[::7]
    messages = from_cloudevents(b"[" + b",".join(encode(each, live_since=NOW) for each in some) + b"]", batch=True)
    assert [message.event for message in messages] == [each.event for each in some]
    assert {m.provenance for m in messages if m.occurred_at < NOW} <= {"generated"}
    assert {m.provenance for m in messages if m.occurred_at >= NOW} == {"live"}


def test_orders_are_paid_in_full_and_end_once(story: list[Happening]) -> None:
    due: dict[str, int] = {}
    ended: defaultdict[str, list[type]] = defaultdict(list)
    for each in story:
        match each.event:
            case OrderCaptured() as order:
                due[order.order_id] = sum(line.amount_minor for line in order.lines) + order.tax_minor
            case PaymentCaptured() as payment:
                assert payment.amount_minor == due.pop(payment.order_id)
            case ShipmentShipped() | OrderCancelled() as end:
                assert end.order_id not in due, "it was paid before"
                ended[end.order_id].append(type(end))
            case _:
                pass
    assert due == {}
    assert {len(ends) for ends in ended.values()} <= {1}


def test_an_order_goes_from_its_checks_to_the_customers_hands(present: list[Happening]) -> None:
    taken: defaultdict[str, list[str]] = defaultdict(list)
    for each in present:
        if isinstance(each.event, OrderStepped) and not each.event.failed:
            taken[each.event.order_id].append(each.event.step)
    ways = {tuple(steps) for steps in taken.values()}
    checks, handling = ("validated", "taxed", "payment_confirmed", "fraud_cleared"), ("routed", "released", "picked")
    to_the_door = (*handling, "packed", "delivery_promised", "notified", "delivered")
    assert ways == {
        checks,
        ("acknowledged",),
        (*checks, *to_the_door),
        ("acknowledged", *to_the_door),
        (*checks, *handling, "ready_for_pickup", "notified", "picked_up"),
    }


def test_what_comes_back_was_shipped_and_is_refunded_to_the_penny(story: list[Happening]) -> None:
    shipped: set[str] = set()
    bought: dict[str, OrderCaptured] = {}
    owed: dict[str, int] = {}
    announced: dict[str, list[str]] = {}
    for each in story:
        match each.event:
            case OrderCaptured() as order:
                bought[order.order_id] = order
            case ShipmentShipped() as shipment:
                shipped.add(shipment.order_id)
            case ReturnReceived() as back:
                assert back.order_id in shipped
                sold = {line.sku: line for line in bought[back.order_id].lines}
                assert all(0 < line.quantity <= sold[line.sku].quantity for line in back.lines)
                owed[back.return_id] = sum(line.amount_minor for line in back.lines) + back.tax_minor
            case ReturnRequested() as asked:
                assert asked.order_id in shipped
                announced[asked.return_id] = ["requested"]
            case ReturnItemsReceived() | ReturnInspected() | ReturnDispositioned() as handled:
                announced[handled.return_id].append(type(handled).__name__)
            case RefundIssued() as refund if refund.return_id in announced:
                assert announced.pop(refund.return_id) == [
                    "requested", "ReturnItemsReceived", "ReturnInspected", "ReturnDispositioned",
                ]  # fmt: skip
            case RefundIssued() as refund:
                assert refund.amount_minor == owed.pop(refund.return_id)
            case _:
                pass
    assert owed == {}
    assert announced == {}


def test_stock_lasts_for_hours_except_for_what_is_scarce(past: list[Happening]) -> None:
    stock: defaultdict[tuple[str, str], int] = defaultdict(int)
    for each in [*opening(5, NOW, SOME_DAYS), *past, *minutes(5, count=30)]:
        match each.event:
            case StockReceived() as receipt:
                for line in receipt.lines:
                    stock[line.sku, receipt.location] += line.quantity
            case OrderCaptured() as order:
                for ordered in order.lines:
                    if ordered.kind == "goods":
                        stock[ordered.sku, order.location] -= ordered.quantity
            case _:
                pass
    scarce, promotion = catalogue(5)[-1].sku, catalogue(5)[-2].sku
    assert {sku for (sku, _), left in stock.items() if left < 50} == {scarce, promotion}


def test_thirty_days_are_twenty_thousand_transactions_over_all_stores() -> None:
    told = lives(5, NOW)
    returned = sum(life.keeps_goods and life.returned is not None and life.returned_at < NOW for life in told)
    assert len(told) + returned + len(deliveries(5, NOW)) + len(count_days(NOW)) + len(opening(5, NOW)) // 2 >= 20_000
    assert {life.location for life in told if life.channel == "store"} == set(STORES)
    assert timedelta(days=DAYS - 1) < NOW - told[0].captured_at < timedelta(days=DAYS, hours=1)
    assert {life.channel for life in told} == {"store", "web", "amazon", "walmart"}


def test_trade_has_the_shape_of_a_week_and_a_peak(told: list[Life]) -> None:
    by_hour = Counter(life.captured_at.hour for life in told)
    by_day = Counter(life.captured_at.weekday() for life in told if life.captured_at > NOW - timedelta(days=7))
    assert by_hour[12] > 5 * by_hour[3]
    assert by_day.most_common(1)[0][0] == 5
    peak = next(second for second in range(SECOND, SECOND + 900) if rhythm.is_peak(datetime.fromtimestamp(second, UTC)))
    orders = [sum(isinstance(each.event, OrderCaptured) for second in range(first, first + 60)
                  for each in live(5, second, 2)) for first in (peak, peak + 180)]  # fmt: skip
    assert 2.5 < orders[0] / orders[1] < 3.5


def test_every_store_gives_a_sign_of_life_in_two_minutes(present: list[Happening]) -> None:
    feeds = Counter(each.event.location for each in present if isinstance(each.event, FeedReported))
    assert all(feeds[store] == 3 for store in STORES)


def test_what_is_stated_of_money_is_what_was_paid(told: list[Life]) -> None:
    first, later = (NOW - timedelta(days=SOME_DAYS)).date(), (NOW + timedelta(days=17)).date()
    stated = payouts.payouts_of(told, first, later)
    paid = {life.payment_id: life.amount_minor for life in told}
    taken = Counter({one.reference: one.amount_minor for payout in stated for one in payout.amounts})
    assert all(taken[payment_id] == amount for payment_id, amount in paid.items())
    assert {one.provider for one in stated} == {"stripe", "adyen", "amazon", "walmart"}
    assert all(sum(row.amount_minor for row in one.amounts) - one.fee_minor == one.net_minor for one in stated)
    lists = [each.event for each in order_lists(told, NOW)]
    assert len(lists) == 3 * SOME_DAYS


def test_sights_are_what_they_promise(told: list[Life], past: list[Happening]) -> None:
    named = sights(told, NOW)
    kinds = defaultdict(set)
    for each in past:
        if each.at < NOW:
            for name in ("return_id", "order_id"):
                if number := getattr(each.event, name, ""):
                    kinds[number].add(type(each.event))
    assert {OrderCaptured, PaymentCaptured, ShipmentShipped} <= kinds[named.shipped_order]
    assert kinds[named.refunded_return] in (
        {ReturnReceived, RefundIssued},
        {ReturnRequested, ReturnShipped, ReturnItemsReceived, ReturnInspected, ReturnDispositioned, RefundIssued},
    )
    assert ShipmentShipped not in kinds[named.waiting_order]
    assert OrderCancelled not in kinds[named.waiting_order]
    assert sights([], NOW) == Sights("", "", "")
