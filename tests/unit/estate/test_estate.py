"""The simulated estate tells one story per seed, and a story that the books can follow."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from sync_core.messages import (
    OrderCancelled,
    OrderCaptured,
    OrderStepped,
    PaymentCaptured,
    ShipmentShipped,
    StockReceived,
    from_cloudevents,
)
from sync_core.returns.messages import RefundIssued, ReturnReceived
from tallytrace.estate import HISTORY, Happening, catalogue, encode, history, live, opening, sights, steps_of_history

NOW = datetime(2026, 3, 4, 11, 23, 45, tzinfo=UTC)
SECOND = int(NOW.timestamp())


def minutes(seed: int, count: int = 10, rate: float = 3) -> list[Happening]:
    told = [each for second in range(SECOND, SECOND + 60 * count) for each in live(seed, second, rate)]
    return sorted(told, key=lambda each: each.at)


@pytest.fixture(params=["history", "steps", "live"])
def story(request: pytest.FixtureRequest) -> list[Happening]:
    if request.param == "live":
        return minutes(5)
    return history(5, NOW) if request.param == "history" else steps_of_history(5, NOW)


def test_the_same_seed_and_time_tell_the_same_story() -> None:
    assert history(5, NOW) == history(5, NOW)
    assert history(5, NOW) != history(6, NOW)
    assert live(5, SECOND, 3) == live(5, SECOND, 3)


def test_a_restart_later_tells_again_what_was_told_before() -> None:
    before = {(each.source, each.event_id): each for each in history(5, NOW)}
    later = {(each.source, each.event_id): each for each in history(5, NOW + timedelta(days=1))}
    shared = before.keys() & later.keys()
    assert len(shared) > 1000
    assert all(before[key] == later[key] for key in shared)


def test_an_identity_is_used_once(story: list[Happening]) -> None:
    assert len({(each.source, each.event_id) for each in story}) == len(story)
    orders = [(each.event.origin, each.event.order_id) for each in story if isinstance(each.event, OrderCaptured)]
    assert len(set(orders)) == len(orders)


def test_every_event_is_one_that_the_core_accepts(story: list[Happening]) -> None:
    body = b"[" + b",".join(encode(each, live_since=NOW) for each in story) + b"]"
    messages = from_cloudevents(body, batch=True)
    assert [message.event for message in messages] == [each.event for each in story]
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


def test_an_order_goes_from_its_checks_to_the_customers_hands() -> None:
    taken: defaultdict[str, list[str]] = defaultdict(list)
    failed: defaultdict[str, set[str]] = defaultdict(set)
    for each in steps_of_history(5, NOW):
        assert isinstance(each.event, OrderStepped)
        if each.event.failed:
            failed[each.event.order_id].add(each.event.step)
        else:
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
    assert 10 < len(failed) < len(taken) / 10
    assert all(steps <= set(taken[order_id]) for order_id, steps in failed.items())


def test_what_comes_back_was_shipped_and_is_refunded_to_the_penny(story: list[Happening]) -> None:
    shipped: set[str] = set()
    bought: dict[str, OrderCaptured] = {}
    owed: dict[str, int] = {}
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
            case RefundIssued() as refund:
                assert refund.amount_minor == owed.pop(refund.return_id)
            case _:
                pass
    assert owed == {}


def test_stock_lasts_for_hours_except_for_what_is_scarce() -> None:
    stock: defaultdict[tuple[str, str], int] = defaultdict(int)
    for each in [*opening(5, NOW), *history(5, NOW), *minutes(5, count=60)]:
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
    scarce = catalogue(5)[-1].sku
    assert {sku for (sku, _), left in stock.items() if left < 20} == {scarce}


def test_how_much_happens() -> None:
    past = history(5, NOW)
    orders = [each for each in past if isinstance(each.event, OrderCaptured)]
    assert len(orders) == 600
    assert NOW - HISTORY - timedelta(minutes=12) <= orders[0].at
    assert max(each.at for each in opening(5, NOW)) < orders[0].at
    assert orders[-1].at < NOW
    captured = [each.event for each in minutes(5) if isinstance(each.event, OrderCaptured)]
    assert 2.5 < len(captured) / 600 < 3.5
    assert {order.channel for order in captured} == {"web", "marketplace", "store"}
    refunds = [each for each in minutes(5, count=1) if isinstance(each.event, RefundIssued)]
    assert len(refunds) >= 5, "enough for an alert within the first minute"


def test_sights_are_what_they_promise() -> None:
    named = sights(5, NOW)
    told = [each for each in history(5, NOW) if each.at < NOW]
    kinds = defaultdict(set)
    for each in told:
        fields = msgspec.structs.asdict(each.event)
        for name in ("order_id", "return_id"):
            if fields.get(name):
                kinds[fields[name]].add(type(each.event))
    assert kinds[named.shipped_order] == {OrderCaptured, PaymentCaptured, ShipmentShipped}
    assert kinds[named.refunded_return] == {ReturnReceived, RefundIssued}
    assert kinds[named.backordered_order] == {OrderCaptured, PaymentCaptured}


@pytest.mark.parametrize("hour", range(0, 24, 3))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_there_is_always_something_to_see(seed: int, hour: int) -> None:
    named = sights(seed, datetime(2026, 11, 21, hour, tzinfo=UTC))
    assert len({named.shipped_order, named.refunded_return, named.backordered_order}) == 3
