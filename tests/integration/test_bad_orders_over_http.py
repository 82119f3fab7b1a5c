"""Orders that cannot be: refused with the field and the reason, or parked until a later fact; never half applied."""

import datetime as dt
from typing import Any

import httpx
import msgspec
import pytest

from sync_core.messages import LocationRegistered
from tests.core import Core
from tests.estate import Estate
from tests.factories import NOON, cloudevent, edited, edited_line, goods_in, line, order, payment, shipment, units


def body(event: Any, at: dt.datetime = NOON, **data: Any) -> bytes:
    envelope = cloudevent(event, "bad", at=at)
    return msgspec.json.encode(envelope | {"data": envelope["data"] | data})


def lines(count: int, **over: Any) -> list[dict[str, Any]]:
    return [{"sku": "A1", "quantity": 1, "amount_minor": 1000} | over] * count


REFUSED: dict[str, tuple[bytes, int, str]] = {
    "negative quantity": (body(order(), lines=lines(1, quantity=-1)), 422, "data.lines[0].quantity"),
    "no quantity": (body(order(), lines=lines(1, quantity=0)), 422, "data.lines[0].quantity"),
    "negative price": (body(order(), lines=lines(1, amount_minor=-1)), 422, "data.lines[0].amount_minor"),
    "negative tax": (body(order(), tax_minor=-1), 422, "data.tax_minor"),
    "beyond any amount": (body(order(), tax_minor=10**16), 400, "data.tax_minor"),
    "currency in words": (body(order(), currency="pound"), 400, "data.currency"),
    "10,000 lines": (body(order(), lines=lines(10_000)), 400, "data.lines"),
    "no lines": (body(order(), lines=[]), 400, "data.lines"),
    "2 MB of customer": (body(order(), customer_ref="x" * 2_000_000), 400, "data.customer_ref"),
    "malformed UTF-8": (body(order()).replace(b'"order_id":"1"', b'"order_id":"\xff"'), 400, "data"),
    "malformed UTF-8 around it": (body(order()).replace(b'"id":"bad"', b'"id":"\xff"'), 400, ""),
    "half a surrogate": (body(order()).replace(b'"order_id":"1"', b'"order_id":"\\ud800"'), 400, ""),
    "NUL": (body(order(), order_id="a\0b"), 422, "data.order_id"),
    "NUL in a line": (body(order(), lines=lines(1, sku="a\0")), 422, "data.lines[0].sku"),
    "a separator": (body(order(), order_id="a\x1fb"), 422, "data.order_id"),
    "blank": (body(order(), order_id=" # "), 422, "data.order_id"),
    "the far past": (body(order(), at=dt.datetime(1, 1, 1, tzinfo=dt.UTC)), 422, "time"),
    "the far future": (body(order(), at=dt.datetime(9999, 12, 30, tzinfo=dt.UTC)), 422, "time"),
    "before any calendar": (
        body(order(), at=dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5)))),
        400,
        "time",
    ),
    "acknowledged in a century": (body(order(acknowledge_by=NOON.replace(year=2126))), 422, "data.acknowledge_by"),
    "acknowledged at no zone": (body(order(), acknowledge_by="2026-03-02T12:00:00"), 400, "data.acknowledge_by"),
    "a field nobody knows": (body(order(), prio=1), 400, "data"),
    "a line edited twice": (body(edited("1", edited_line(1), edited_line(1))), 422, "data.lines"),
    "edited below nothing": (body(edited("1", edited_line(1, price_minor=-5))), 422, "data.lines[0].amount_minor"),
    "a negative payment": (body(payment("1", -5)), 422, "data.amount_minor"),
    "a shipment of nothing": (body(shipment(), lines=[{"sku": "A1", "quantity": 0}]), 400, "data.lines[0].quantity"),
}


@pytest.mark.proves(262, 268)
def test_what_cannot_be_is_refused_with_field_and_reason_and_nothing_of_it_is_kept(
    http: httpx.Client, core: Core
) -> None:
    for name, (sent, status, field) in REFUSED.items():
        answer = http.post("/v1/events", content=sent)
        problem = answer.json()
        assert (name, answer.status_code, problem.get("field", "")) == (name, status, field)
        assert len(problem["detail"]) > 8
        data = msgspec.json.decode(sent)["data"] if b"\xff" not in sent and b"ud800" not in sent else {}
        if status == 422 and "channel" in data and not field.startswith("time"):
            direct = http.post("/v1/orders", json=data)
            assert (name, direct.status_code, f"data.{direct.json()['field']}") == (name, 422, field)
    both = [cloudevent(order("good"), "good"), msgspec.json.decode(REFUSED["negative tax"][0])]
    answer = http.post("/v1/events", json=both)
    assert (answer.status_code, answer.json()["field"]) == (422, "[1].data.tax_minor")
    assert core.one("select count(*) from core.inbox") == 0
    assert http.post("/v1/events", content=body(order("long"), lines=lines(5000))).status_code == 202
    core.work()
    assert len(http.get("/v1/orders/long").json()[0]["lines"]) == 5000


def test_what_another_fact_can_cure_waits_for_it_and_what_differs_has_an_owner(estate: Estate, core: Core) -> None:
    estate.tell(goods_in(units={"A1": 9}), order("1", line("A1", 2)))
    estate.tell(LocationRegistered(origin="erp", location="ST1", kind="store"), source="erp")
    estate.tell(order("2", line("A1", 2)), payment("2", 2000))
    assert core.states()["parked"] == 2
    assert core.rows("select reason from core.inbox where state = 'parked' order by seq") == [
        ("location WH1 is not registered",), ("order 2 has not arrived",),
    ]  # fmt: skip
    estate.tell(LocationRegistered(origin="erp", location="WH1", kind="warehouse"), source="erp")
    assert "parked" not in core.states()
    estate.tell(payment("1", 2000, currency="EUR"), edited("1", edited_line(1, "A1", 3), currency="EUR"))
    estate.tell(shipment("2", lines=(units("A1", 9),)))
    assert estate.exceptions() == [
        ("payment_differs", "payments", 2000), ("edit_not_possible", "customer service", 2000),
        ("shipment_not_reserved", "warehouse", 2000),
    ]  # fmt: skip
    assert estate.at()["reserved"] == 4
    assert estate.sound()
