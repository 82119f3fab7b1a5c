"""What channels are told of stock: by whom it was moved does not matter, nor whether the channel is slow or away."""

import datetime as dt
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import msgspec
import pytest

from sync_core.messages import (
    ChannelConnected,
    ChannelServed,
    Event,
    LocationRegistered,
    StockLine,
    StockRuleSet,
    from_cloudevents,
)
from sync_core.stock.publication import Publisher
from sync_core.store import Store
from tests.channel import Channel, receiving
from tests.core import Core, later
from tests.estate import Estate
from tests.factories import (
    NOON,
    adjustment,
    cloudevent,
    feed_report,
    goods_in,
    line,
    order,
    payment,
    shipment,
    transfer,
    transfer_in,
    transfer_out,
)

Connect = Callable[..., Channel]


@pytest.fixture
def publisher(core: Core) -> Iterator[Publisher]:
    made = Publisher(core.db, lambda: core.now, timeout_seconds=5)
    yield made
    made.close()


@pytest.fixture
def connect(estate: Estate) -> Iterator[Connect]:
    """Channels with an address of their own, served from WH1 and ST1 unless said otherwise."""
    with ExitStack() as undo:

        def one(name: str, locations: tuple[str, ...] = ("WH1", "ST1"), **over: Any) -> Channel:
            made = undo.enter_context(receiving())
            about: dict[str, Any] = {"origin": "erp", "channel": name}
            given: dict[str, Any] = {"url": made.url, "requests_per_second": 100.0} | over
            estate.tell(ChannelServed(**about, locations=locations), ChannelConnected(**about, **given))
            return made

        yield one


def publish(publisher: Publisher) -> None:
    """Until nothing may be told to anybody now."""
    while publisher.run_once():
        pass


def status(http: httpx.Client, channel: str) -> dict[str, Any]:
    [found] = [one for one in http.get("/v1/channels").json() if one["channel"] == channel]
    told: dict[str, Any] = found
    return told


@pytest.mark.proves(30, 99)
def test_whoever_moves_stock_every_channel_is_told(estate: Estate, publisher: Publisher, connect: Connect) -> None:
    web, market = connect("web", by_location=True), connect("market", ("WH1",))
    estate.tell(LocationRegistered(origin="erp", location="WH1", kind="warehouse", stock_source="wms"))
    estate.tell(LocationRegistered(origin="erp", location="ST1", kind="store"))
    estate.tell(StockRuleSet(origin="erp", rule_id="1", kind="cap", channel="market", quantity=3))
    seen = []
    events: list[tuple[Event, str]] = [
        (goods_in(units={"A1": 9}), "wms"),
        (goods_in("D2", {"A1": 2}, location="ST1"), "pos"),
        (order("till", channel="store", location="ST1"), "pos"),
        (order("web", line(quantity=5)), "shop"),
        (payment("web", 5000), "psp"),
        (shipment("web"), "wms"),
        (transfer(units={"A1": 3}), "erp"),
        (transfer_out(units={"A1": 3}), "wms"),
        (transfer_in(units={"A1": 3}), "pos"),
        (adjustment("late", StockLine(sku="A1", quantity=-2)), "wms"),
    ]
    for event, source in events:
        estate.tell(event, source=source)
        publish(publisher)
        told = estate.offer(channel="web")
        assert web.shown["A1", ""] == told["available"]
        assert market.shown["A1", ""] == estate.offer(channel="market")["available"]
        assert {one["location"]: one["sellable"] for one in told["locations"]} == {
            location: units for (_, location), units in web.shown.items() if location
        }  # fmt: skip
        seen.append((web.shown["A1", ""], market.shown["A1", ""]))
    assert seen == [(9, 3), (11, 3), (10, 3), (5, 3), (5, 3), (5, 3), (2, 1), (2, 1), (5, 1), (4, 0)]
    assert market.sizes == [1, 1, 1]  # what stays the same is not told again
    assert estate.sound()


@pytest.mark.proves(198, 199)
def test_a_channel_that_slows_down_gets_the_newest_figure_alone(
    estate: Estate, core: Core, http: httpx.Client, publisher: Publisher, connect: Connect
) -> None:
    web, market = connect("web"), connect("market")
    estate.tell(goods_in(units={"A1": 30}))
    market.replies.append((429, {"Retry-After": "60"}))
    publish(publisher)
    for number in range(20):
        estate.tell(order(f"{number}"))
        publish(publisher)
    assert [one.figures[0].sellable for one in web.requests] == list(range(30, 9, -1))
    assert len(market.requests) == 1
    assert (status(http, "market")["state"], status(http, "market")["waiting"]) == ("up", 1)
    later(core, seconds=60)
    publish(publisher)
    assert [one.figures[0].sellable for one in market.requests] == [30, 10]
    assert status(http, "market")["waiting"] == 0


@pytest.mark.proves(202)
def test_a_channel_that_was_away_is_known_and_then_has_everything(
    estate: Estate, core: Core, http: httpx.Client, publisher: Publisher, connect: Connect
) -> None:
    web = connect("web")
    estate.tell(goods_in(units={"A1": 5, "B2": 7}))
    publish(publisher)
    web.replies.extend([(503, {})] * 4)
    estate.tell(order("1", line(quantity=3)))
    for _ in range(4):
        publish(publisher)
        later(core, seconds=5)
    assert estate.exceptions() == [("channel_down", "integration", 3 * 400)]
    assert (status(http, "web")["state"], status(http, "web")["reason"]) == ("down", "HTTP 503")
    assert status(http, "web")["oldest_waiting_seconds"] >= 20
    estate.tell(order("2"), goods_in("D2", {"C3": 1}))
    publish(publisher)
    assert web.shown == {("A1", ""): 1, ("B2", ""): 7, ("C3", ""): 1}
    assert estate.exceptions() == []
    assert (status(http, "web")["state"], status(http, "web")["waiting"]) == ("up", 0)
    sequences = [one.sequence for one in web.requests]
    assert sequences == sorted(set(sequences))


def _publish_until_killed(url: str, now: dt.datetime) -> None:
    db = Store(url)
    db.open()
    publish(Publisher(db, lambda: now, timeout_seconds=5))


@pytest.mark.proves(202)
def test_a_kill_after_the_sending_sends_again(
    estate: Estate, core: Core, publisher: Publisher, connect: Connect
) -> None:
    web = connect("web")
    estate.tell(goods_in())
    web.hold.clear()
    child = multiprocessing.get_context("spawn").Process(target=_publish_until_killed, args=(core.db.url, core.now))
    child.start()
    while not web.requests:
        assert child.is_alive()
        child.join(0.02)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    web.hold.set()
    publish(publisher)
    assert len(web.requests) == 1  # until its answer is overdue
    later(core, seconds=10)
    publish(publisher)
    assert [one.figures for one in web.requests[:1]] == [one.figures for one in web.requests[1:]]
    assert web.shown == {("A1", ""): 5}


@pytest.mark.proves(200)
def test_who_matters_most_is_told_first_and_nobody_holds_up_another(
    estate: Estate, core: Core, connect: Connect
) -> None:
    slow, store = connect("slow", priority=1), connect("store", priority=2)
    market = connect("market", priority=3)
    estate.tell(goods_in())
    one_by_one = Publisher(core.db, lambda: core.now, threads=1)
    told = []
    while one_by_one.run_once():
        told += [name for name, one in (("slow", slow), ("store", store), ("market", market))
                 if one.requests and name not in told]  # fmt: skip
    assert told == ["slow", "store", "market"]
    one_by_one.close()
    slow.hold.clear()
    estate.tell(order("1"))
    two = Publisher(core.db, lambda: core.now, threads=2)
    for _ in range(100):
        two.run_once()
        if (store.shown["A1", ""], market.shown["A1", ""]) == (4, 4):
            break
    assert (slow.shown["A1", ""], store.shown["A1", ""], market.shown["A1", ""]) == (5, 4, 4)
    slow.hold.set()
    two.close()


def test_a_figure_that_a_channel_refuses_holds_up_no_other(
    estate: Estate, core: Core, http: httpx.Client, publisher: Publisher, connect: Connect
) -> None:
    web = connect("web")
    web.refused.add("A3")
    estate.tell(goods_in(units={f"A{number}": number for number in range(1, 8)}))
    for _ in range(30):
        publish(publisher)
        later(core, seconds=1)
    assert web.shown == {(f"A{number}", ""): number for number in (1, 2, 4, 5, 6, 7)}
    assert estate.exceptions() == [("publication_refused", "integration", 0)]
    assert (status(http, "web")["waiting"], status(http, "web")["refused"]) == (0, 1)
    web.refused.clear()
    estate.tell(goods_in("D2", {"A3": 1}))
    publish(publisher)
    assert web.shown["A3", ""] == 4
    assert estate.exceptions() == []


def test_a_replay_of_the_exception_tries_at_once(
    estate: Estate, core: Core, http: httpx.Client, publisher: Publisher, connect: Connect
) -> None:
    web = connect("web")
    web.replies.extend([(503, {"Retry-After": "3000"})] * 3)
    estate.tell(goods_in())
    for _ in range(3):
        publish(publisher)
        later(core, seconds=3000)
    later(core, seconds=-2000)
    publish(publisher)
    assert web.shown == {}
    [down] = http.get("/v1/exceptions").json()
    told = http.post("/v1/exceptions/replay", json={"ids": [down["exception_id"]], "by": "ann", "reason": "it is back"})
    assert [one["outcome"] for one in told.json()["outcomes"]] == ["done"]
    publish(publisher)
    assert web.shown == {("A1", ""): 5}
    assert estate.exceptions() == []


def test_a_rule_a_served_location_and_a_silent_feed_change_what_is_told(
    estate: Estate, core: Core, publisher: Publisher, connect: Connect
) -> None:
    web = connect("web", by_location=True)
    estate.tell(goods_in(units={"A1": 8}), goods_in("D2", {"B2": 4}, location="ST1"), feed_report())
    publish(publisher)
    rule: dict[str, Any] = {"origin": "erp", "rule_id": "1", "kind": "safety"}
    changes: list[tuple[Event, dict[tuple[str, str], int]]] = [
        (StockRuleSet(**rule, sku="A1", quantity=2), {("A1", ""): 6, ("A1", "WH1"): 6}),
        (StockRuleSet(**rule, sku="B2", quantity=1), {("A1", ""): 8, ("A1", "WH1"): 8, ("B2", ""): 3,
                                                      ("B2", "ST1"): 3}),
        (ChannelServed(origin="erp", channel="web", locations=("WH1",)), {("B2", ""): 0, ("B2", "ST1"): 0}),
        (StockRuleSet(origin="erp", rule_id="2", kind="buffer", percent=50), {}),
    ]  # fmt: skip
    for event, expected in changes:
        before = dict(web.shown)
        estate.tell(event)
        publish(publisher)
        assert {key: units for key, units in web.shown.items() if before.get(key) != units} == expected
    later(core, minutes=16)
    publish(publisher)
    assert (web.shown["A1", ""], web.shown["A1", "WH1"]) == (4, 4)
    estate.tell(feed_report(), at=core.now)
    publish(publisher)
    assert (web.shown["A1", ""], web.shown["A1", "WH1"]) == (8, 8)


def test_a_change_is_published_when_the_channel_has_it(
    estate: Estate, core: Core, publisher: Publisher, connect: Connect
) -> None:
    web = connect("web")
    estate.tell(feed_report(), goods_in(), at=NOON)
    publish(publisher)
    web.replies.append((503, {}))
    estate.tell(order("1"), payment("1"), shipment("1"), at=NOON + dt.timedelta(minutes=2))
    estate.tell(feed_report(), at=NOON + dt.timedelta(minutes=9))
    publish(publisher)
    assert published(core) == NOON + dt.timedelta(minutes=2, microseconds=-1)
    later(core, minutes=1)
    publish(publisher)
    publish(publisher)
    assert published(core) == NOON + dt.timedelta(minutes=9)
    past = cloudevent(goods_in("D9", location="WH9"), "past", at=NOON - dt.timedelta(days=9), provenance="generated")
    latest = NOON + dt.timedelta(minutes=10)
    both = [cloudevent(feed_report(), "present", at=latest), past]
    core.take(*from_cloudevents(msgspec.json.encode(both), batch=True))
    publish(publisher)
    marks = [one for span in core.spans() for one in span.events if one.name == "watermark"]
    since = [
        each.value.int_value / 10**9
        for one in marks if one.time_unix_nano / 10**9 >= core.now.timestamp()
        for each in one.attributes if each.key == "published_at"
    ]  # fmt: skip
    assert latest.timestamp() in since, "it is told on its own clock, whatever was taken with it"


def published(core: Core) -> dt.datetime:
    """How far the channel has been told of everything, as lineage reads it."""
    marks = [
        {one.key: one.value.string_value or one.value.int_value for one in event.attributes}
        for span in core.spans()
        for event in span.events
        if event.name == "watermark"
    ]
    furthest = max(int(mark["published_at"]) for mark in marks if mark["channel"] == "web")
    return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=furthest // 1000)


@pytest.mark.parametrize(
    ("over", "field"),
    [({"url": "ftp://x"}, "data.url"), ({"batch": 0}, "data.batch"),
     ({"requests_per_second": 0}, "data.requests_per_second")],
)  # fmt: skip
def test_an_address_that_cannot_be_one_is_refused(http: httpx.Client, over: dict[str, Any], field: str) -> None:
    event = cloudevent(ChannelConnected(origin="erp", channel="web", url="http://127.0.0.1/"))
    answer = http.post("/v1/events", json=event | {"data": event["data"] | over})
    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_a_channel_without_an_address_is_told_nothing_more(
    estate: Estate, http: httpx.Client, publisher: Publisher, connect: Connect
) -> None:
    web = connect("web")
    estate.tell(goods_in())
    publish(publisher)
    estate.tell(ChannelConnected(origin="erp", channel="web", url=""), order("1"))
    publish(publisher)
    assert web.shown == {("A1", ""): 5}
    assert http.get("/v1/channels").json() == []
    estate.tell(ChannelConnected(origin="erp", channel="web", url=web.url))
    publish(publisher)
    assert web.shown == {("A1", ""): 4}


@pytest.mark.proves(98)
def test_a_burst_of_questions_reaches_neither_the_erp_nor_the_database(
    estate: Estate, core: Core, http: httpx.Client
) -> None:
    estate.tell(goods_in())
    before = estate.offer()
    core.change("alter table core.stock rename to away")
    assert [http.get("/v1/availability", params={"sku": "A1"}).json()["items"] for _ in range(50)] == [[before]] * 50
    core.change("alter table core.away rename to stock")
