from base64 import b64decode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

from dashboards import figures
from lineage.model import Point

START = datetime(2026, 11, 20, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


def points(values: Sequence[float | None], overdue: int = 0) -> list[Point]:
    return [
        Point(as_of=START + timedelta(hours=n), value=value, good=9, bad=1, overdue_open=overdue, state="meeting")
        for n, value in enumerate(values)
    ]


def drawn(values: Sequence[float | None], target: float) -> ElementTree.Element:
    return ElementTree.fromstring(figures.sparkline(points(values), target))


def test_the_line_runs_through_time_and_the_target_is_marked() -> None:
    picture = drawn([1.0, 0.98, 0.99], 0.98)
    lines = picture.findall(f"{SVG}polyline")
    goal, dot = picture.findall(f"{SVG}path")

    assert [line.get("points") for line in lines] == ["5,5 120,51 235,28"]
    assert (goal.get("d"), goal.get("stroke-dasharray")) == ("M0 51H240", "4 3")
    assert (dot.get("d"), dot.get("stroke")) == ("M235 28h.01", figures.BLUE)


def test_no_data_breaks_the_line() -> None:
    lines = drawn([1.0, None, 0.98, 0.98], 0.99).findall(f"{SVG}polyline")
    assert [line.get("points") for line in lines] == ["5,5 5,5", "158.3,51 235,51"]


def test_what_falls_short_of_the_target_is_filled_and_ends_in_vermilion() -> None:
    picture = drawn([1.0, 0.98], 0.99)
    short = picture.find(f"{SVG}polygon")
    cut = picture.find(f"{SVG}clipPath/{SVG}rect")

    assert short is not None
    assert cut is not None
    assert short.get("points") == "5,28 5,5 235,51 235,28"
    assert cut.get("y") == "28"
    assert picture.findall(f"{SVG}path")[-1].get("stroke") == figures.VERMILION


def test_equal_values_lie_in_the_middle_and_nothing_is_drawn_of_nothing() -> None:
    assert [line.get("points") for line in drawn([0.99, 0.99], 0.99).findall(f"{SVG}polyline")] == ["5,28 235,28"]
    assert drawn([], 0.99).findall(f"{SVG}polyline") == []
    assert [line.get("points") for line in drawn([0.5], 0.5).findall(f"{SVG}polyline")] == ["235,28 235,28"]


def test_the_picture_needs_no_request() -> None:
    svg = figures.sparkline(points([1.0]), 0.9)
    kind, _, encoded = figures.picture(svg).partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert b64decode(encoded).decode() == svg


def test_the_trend_in_words() -> None:
    said = figures.trend(points([0.995, None, 0.9711, 0.98]), 0.99)
    assert said == "From 99.50% to 98.00% over 3 measurements; lowest 97.11%, 2 below the target of 99%."
    assert figures.trend(points([None]), 0.99) == "No measurements yet."


def test_the_history_has_value_target_and_overdue() -> None:
    figure = figures.history(points([0.995, None, 0.98], overdue=3), 0.99, "refunds")
    (value, overdue), layout = figure["data"], figure["layout"]

    assert value["y"] == [99.5, None, 98.0]
    assert value["marker"]["symbol"] == ["circle", "circle", "x"]
    assert overdue["y"] == [3, 3, 3]
    assert [(shape["y0"], shape["y1"]) for shape in layout["shapes"]] == [(99.0, 99.0)]
    assert layout["annotations"][0]["text"] == "target 99%"
    assert layout["yaxis2"]["dtick"] == 2
    assert layout["paper_bgcolor"] == "rgba(0,0,0,0)"
