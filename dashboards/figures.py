"""Measurements drawn: rows in, figures out."""

from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import plotly.graph_objects as go  # type: ignore[import-untyped]
from plotly.subplots import make_subplots  # type: ignore[import-untyped]

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


def history(points: Sequence[Point], target: float, unit: str) -> go.Figure:
    """The value against its target above, the overdue items below. Colours of text and grid come from the page."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.72, 0.28], vertical_spacing=0.06)
    times = [point.as_of for point in points]
    values = [None if point.value is None else point.value * 100 for point in points]
    figure.add_trace(
        go.Scatter(
            x=times, y=values, mode="lines+markers", connectgaps=False, cliponaxis=False, name="value",
            line={"color": BLUE, "width": 2},
            marker={
                "size": 7,
                "color": [VERMILION if value is not None and value < target * 100 else BLUE for value in values],
                "symbol": ["x" if value is not None and value < target * 100 else "circle" for value in values],
            },
            customdata=[[wording.share(point.value), point.good, point.bad] for point in points],
            hovertemplate="%{customdata[0]}: %{customdata[1]:,} good, %{customdata[2]:,} bad<extra></extra>",
        ),
        row=1, col=1,
    )  # fmt: skip
    figure.add_trace(
        go.Bar(
            x=times, y=[point.overdue_open for point in points], name="overdue",
            marker={"color": VERMILION, "line": {"width": 0}},
            hovertemplate=f"%{{y:,}} {unit} overdue<extra></extra>",
        ),
        row=2, col=1,
    )  # fmt: skip
    figure.add_hline(
        y=target * 100, row=1, col=1, line={"color": GREY, "dash": "dash", "width": 1.5},
        annotation={"text": f"target {wording.target(target)}", "xanchor": "right"}, annotation_position="top right",
    )  # fmt: skip
    _set_out(figure, min([value for value in values if value is not None] + [target * 100]))
    most = max((point.overdue_open for point in points), default=0)
    figure.update_yaxes(row=2, col=1, range=[0, max(most, 1) * 1.15], dtick=max(1, round(most / 2)))
    if times:
        figure.update_xaxes(range=[min(times) - HALF_A_DAY, max(times) + HALF_A_DAY])
    return figure


def _set_out(figure: go.Figure, low: float) -> None:
    figure.update_layout(
        height=320, margin={"l": 52, "r": 12, "t": 16, "b": 40}, showlegend=False, hovermode="x unified",
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", bargap=0.3, dragmode=False,
        font={"family": "inherit", "size": 12},
    )  # fmt: skip
    pad = max((100 - low) * 0.08, 0.05)
    figure.update_yaxes(row=1, col=1, ticksuffix="%", range=[max(0, low - pad), 100 + pad], fixedrange=True, nticks=5)
    figure.update_yaxes(row=2, col=1, fixedrange=True, tickformat=",d")
    figure.update_yaxes(row=2, col=1, title={"text": "overdue", "standoff": 8, "font": {"size": 12}})
    figure.update_xaxes(
        fixedrange=True, showgrid=False, zeroline=False, ticks="outside", ticklen=8, tickcolor="rgba(0,0,0,0)",
        tickformatstops=[
            {"dtickrange": [None, 43_200_000], "value": "%H:%M\n%-d %b"},
            {"dtickrange": [86_400_000, None], "value": "%-d %b"},
        ],
    )  # fmt: skip
    figure.update_yaxes(zeroline=False)
