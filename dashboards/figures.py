"""Measurements drawn: rows in, figures out."""

from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from dashboards import wording
from lineage.model import Point
from lineage.operations import Traffic

# Okabe-Ito blue and vermilion; each of the three has at least 3:1 against the light and the dark ground, so one
# picture serves both schemes.
BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"
GREY: Final = "#7d8590"

WIDTH: Final = 240
HEIGHT: Final = 56
MARGIN: Final = 5

HALF_A_DAY: Final = timedelta(hours=12)
"""Room beside the first and the last measurement, so that one alone has a scale too."""


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _runs(points: Sequence[Point]) -> list[list[tuple[datetime, float]]]:
    """Stretches without a missing value; a gap in the data is a gap in the line."""
    runs: list[list[tuple[datetime, float]]] = [[]]
    for point in points:
        if point.value is None:
            runs.append([])
        else:
            runs[-1].append((point.as_of, point.value))
    return [run for run in runs if run]


def sparkline(points: Sequence[Point], target: float) -> str:
    """SVG of the value over time, a dashed line at the target, and what falls short of it filled."""
    runs = _runs(points)
    values = [value for run in runs for _, value in run]
    low, high = min([*values, target]), max([*values, target])
    spread = (high - low) or 1.0
    first = min((point.as_of for point in points), default=None)
    span = (max(point.as_of for point in points) - first).total_seconds() if first else 0.0

    def x(at: datetime) -> float:
        return WIDTH - MARGIN if not (first and span) else (
            MARGIN + (WIDTH - 2 * MARGIN) * (at - first).total_seconds() / span
        )  # fmt: skip

    def y(value: float) -> float:
        return MARGIN + (HEIGHT - 2 * MARGIN) * (high - value) / spread if high > low else HEIGHT / 2

    goal = _number(y(target))
    # A stretch of one measurement is drawn twice: a line of no length with a round end is a dot.
    lines = [
        " ".join(f"{_number(x(at))},{_number(y(value))}" for at, value in (run if len(run) > 1 else run * 2))
        for run in runs
    ]
    stroke = 'fill="none" vector-effect="non-scaling-stroke"'
    shapes = [
        f'<clipPath id="b"><rect x="0" y="{goal}" width="{WIDTH}" height="{HEIGHT}"/></clipPath>',
        *(
            f'<polygon clip-path="url(#b)" fill="{VERMILION}" fill-opacity=".28" points="'
            f'{_number(x(run[0][0]))},{goal} {line} {_number(x(run[-1][0]))},{goal}"/>'
            for run, line in zip(runs, lines, strict=True)
        ),
        f'<path d="M0 {goal}H{WIDTH}" stroke="{GREY}" stroke-dasharray="4 3" {stroke}/>',
        *(
            f'<polyline points="{line}" stroke="{BLUE}" stroke-width="2" stroke-linejoin="round" '
            f'stroke-linecap="round" {stroke}/>'
            for line in lines
        ),
    ]
    if runs:
        at, value = runs[-1][-1]
        dot = VERMILION if value < target else BLUE
        shapes.append(
            f'<path d="M{_number(x(at))} {_number(y(value))}h.01" stroke="{dot}" stroke-width="7" '
            f'stroke-linecap="round" {stroke}/>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none">'
        f"{''.join(shapes)}</svg>"
    )


def picture(svg: str) -> str:
    """As the source of an image, which needs no request and no script."""
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"


RATE_WIDTH: Final = 960
RATE_HEIGHT: Final = 120


def bars(traffic: Traffic) -> str:
    """SVG of runs per slice of time, the failed ones of each on top; a slice in which nothing ran is a gap."""
    span = (traffic.as_of - traffic.since).total_seconds() or 1.0
    most = max((one.runs for one in traffic.slices), default=0) or 1
    width = max(1.0, RATE_WIDTH * traffic.slice_seconds / span - 1)
    shapes = []
    for one in traffic.slices:
        x = RATE_WIDTH * max(0.0, (one.at - traffic.since).total_seconds()) / span
        high, bad = (RATE_HEIGHT * count / most for count in (one.runs, one.failed))
        top = RATE_HEIGHT - high
        shapes.append(f'<rect x="{_number(x)}" y="{top:.2f}" width="{width:.2f}" height="{high:.2f}" fill="{BLUE}"/>')
        if bad:
            least = max(bad, 2.0)
            shapes.append(
                f'<rect x="{_number(x)}" y="{top:.2f}" width="{width:.2f}" height="{least:.2f}" fill="{VERMILION}"/>'
            )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {RATE_WIDTH} {RATE_HEIGHT}" '
        f'preserveAspectRatio="none">{"".join(shapes)}</svg>'
    )


def trend(points: Sequence[Point], target: float) -> str:
    """The sparkline in words."""
    values = [point.value for point in points if point.value is not None]
    if not values:
        return "No measurements yet."
    short = sum(value < target for value in values)
    return (
        f"From {wording.share(values[0])} to {wording.share(values[-1])} over "
        f"{wording.count(len(values), 'measurement')}; lowest {wording.share(min(values))}, "
        f"{short} below the target of {wording.target(target)}."
    )


def history(points: Sequence[Point], target: float, unit: str) -> dict[str, Any]:
    """A figure of plotly: the value against its target above, the overdue items below.

    Colours of text and grid come from the page. Plotly's own objects would check each of it, which takes twenty times
    as long as all else of a page.
    """
    times = [point.as_of for point in points]
    values = [None if point.value is None else point.value * 100 for point in points]
    short = [value is not None and value < target * 100 for value in values]
    value = {
        "type": "scatter", "xaxis": "x", "yaxis": "y", "name": "value", "x": times, "y": values,
        "mode": "lines+markers", "connectgaps": False, "cliponaxis": False, "line": {"color": BLUE, "width": 2},
        "marker": {
            "size": 7,
            "color": [VERMILION if one else BLUE for one in short],
            "symbol": ["x" if one else "circle" for one in short],
        },
        "customdata": [[wording.share(point.value), point.good, point.bad] for point in points],
        "hovertemplate": "%{customdata[0]}: %{customdata[1]:,} good, %{customdata[2]:,} bad<extra></extra>",
    }  # fmt: skip
    overdue = {
        "type": "bar", "xaxis": "x2", "yaxis": "y2", "name": "overdue", "x": times,
        "y": [point.overdue_open for point in points], "marker": {"color": VERMILION, "line": {"width": 0}},
        "hovertemplate": f"%{{y:,}} {unit} overdue<extra></extra>",
    }  # fmt: skip
    return {"data": [value, overdue], "layout": _layout(points, target)}


def _layout(points: Sequence[Point], target: float) -> dict[str, Any]:
    goal = target * 100
    low = min([goal, *(point.value * 100 for point in points if point.value is not None)])
    pad = max((100 - low) * 0.08, 0.05)
    most = max((point.overdue_open for point in points), default=0)
    times = [point.as_of for point in points]
    day = {
        "fixedrange": True, "showgrid": False, "zeroline": False, "automargin": True,
        "ticks": "outside", "ticklen": 8, "tickcolor": "rgba(0,0,0,0)",
        "tickformatstops": [
            {"dtickrange": [None, 43_200_000], "value": "%H:%M\n%-d %b"},
            {"dtickrange": [86_400_000, None], "value": "%-d %b"},
        ],
    }  # fmt: skip
    if times:
        day["range"] = [min(times) - HALF_A_DAY, max(times) + HALF_A_DAY]
    up = {"fixedrange": True, "zeroline": False, "automargin": True}
    return {
        "height": 320, "margin": {"l": 52, "r": 12, "t": 16, "b": 40}, "showlegend": False,
        "hovermode": "x unified", "hoverlabel": {"align": "left"}, "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)", "bargap": 0.3, "dragmode": False, "font": {"family": "inherit", "size": 12},
        "xaxis": {**day, "anchor": "y", "matches": "x2", "showticklabels": False},
        "xaxis2": {**day, "anchor": "y2"},
        "yaxis": {**up, "anchor": "x", "domain": [0.3232, 1], "ticksuffix": "%", "nticks": 5,
                  "range": [max(0, low - pad), 100 + pad]},
        "yaxis2": {**up, "anchor": "x2", "domain": [0, 0.2632], "tickformat": ",d",
                   "range": [0, max(most, 1) * 1.15], "dtick": max(1, round(most / 2)),
                   "title": {"text": "overdue", "standoff": 8, "font": {"size": 12}}},
        "shapes": [{"type": "line", "xref": "x domain", "x0": 0, "x1": 1, "yref": "y", "y0": goal, "y1": goal,
                    "line": {"color": GREY, "dash": "dash", "width": 1.5}}],
        "annotations": [{"text": f"target {wording.target(target)}", "showarrow": False, "xref": "x domain", "x": 1,
                         "xanchor": "right", "yref": "y", "y": goal, "yanchor": "bottom"}],
    }  # fmt: skip
