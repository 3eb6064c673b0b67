"""The page's charts as Vega-Lite specifications: one a kind of picture, which the page's script fills with rows.

Colours are the page's own CSS variables, so that a chart follows a light screen, a dark one and paper undrawn.
"""

from functools import cache
from typing import Any

import altair as alt
import vl_convert

_Chart = Any  # altair's own types promise less than its methods return
_SOURCES = ["real", "held-out", "synthetic"]
_MIXED = [*_SOURCES, "other"]
_COLOUR = alt.Color(
    "source:N",
    scale=alt.Scale(domain=_MIXED, range=[f"var(--{name})" for name in _MIXED]),
    legend=None,
)
_DASH = alt.StrokeDash("source:N", scale=alt.Scale(domain=_SOURCES, range=[[1, 0], [3, 3], [1, 0]]), legend=None)
_ROWS = alt.NamedData("rows")
_FREE = alt.Scale(zero=False, nice=False)


@cache
def scripts() -> str:
    """Vega, Vega-Lite and Vega-Embed for a page without a network; they leave one global, ``vegaEmbed``."""
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # Its names stay its own, and nothing in it can end the element it stands in.
    return "{\n" + bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--") + "\n}"


@cache
def specifications() -> dict[str, dict[str, Any]]:
    """Every kind of chart by name; its data is called ``rows``, whose fields the encodings name."""
    charts = {
        "steps": _density("step-after", "share of rows"),
        "curve": _density("monotone", "density"),
        "bars": _bars(),
        "quantiles": _quantiles(),
        "joint": _joint(),
        "spectrum": _spectrum(),
        "combinations": _combinations(),
        "projection": _projection(_COLOUR),
        "clusters": _projection(
            alt.Color(
                "cluster:N",
                sort=None,
                scale=alt.Scale(scheme="tableau10"),
                legend=alt.Legend(orient="bottom", title=None, columns=3, symbolOpacity=1, labelLimit=110),
            )
        ),
        "scores": _scores(),
        "importance": _importance(),
    }
    return {name: _plain(chart) for name, chart in charts.items()}


def _plain(chart: _Chart) -> dict[str, Any]:
    """Without altair's own configuration: the page has one."""
    specification: dict[str, Any] = chart.to_dict()
    specification.pop("config", None)
    return specification


def _density(interpolate: Any, title: str) -> _Chart:
    base = alt.Chart(_ROWS).encode(
        x=alt.X("x:Q", scale=_FREE, title=None), y=alt.Y("y:Q", title=title, stack=None), color=_COLOUR
    )
    areas = base.mark_area(interpolate=interpolate, opacity=0.16).transform_filter("datum.source != 'held-out'")
    lines = base.mark_line(interpolate=interpolate, strokeWidth=1.6).encode(strokeDash=_DASH)
    return alt.layer(areas, lines).properties(width="container", height=170)


def _bars() -> _Chart:
    return (
        alt.Chart(_ROWS)
        .mark_bar()
        .encode(
            y=alt.Y("label:N", sort=None, title=None, axis=alt.Axis(labelLimit=140)),
            yOffset=alt.YOffset("source:N", sort=["real", "synthetic", "held-out"]),
            x=alt.X("y:Q", title="share of rows", axis=alt.Axis(format="%", tickCount=5)),
            color=_COLOUR,
            tooltip=["label:N", "source:N", alt.Tooltip("y:Q", format=".1%")],
        )
        .properties(width="container", height=alt.Step(8, **{"for": "offset"}))
    )


def _quantiles() -> _Chart:
    base = alt.Chart(_ROWS)
    diagonal = base.mark_line(color="var(--quiet)", strokeWidth=1, strokeDash=[2, 2]).encode(
        x=alt.X("x:Q", scale=_FREE, title="real quantile"),
        y=alt.Y("x:Q", scale=_FREE, title="same quantile, synthetic"),
    )
    points = base.mark_point(size=22, filled=True, opacity=0.9).encode(
        x="x:Q",
        y="y:Q",
        color=_COLOUR,
        tooltip=[
            "source:N",
            alt.Tooltip("x:Q", title="real", format=".4"),
            alt.Tooltip("y:Q", title="here", format=".4"),
        ],
    )
    return alt.layer(diagonal, points).properties(width="container", height=170)


def _joint() -> _Chart:
    return (
        alt.Chart(_ROWS)
        .mark_rect(strokeWidth=0)
        .encode(
            x=alt.X("x:Q", scale=_FREE, title=None),
            x2="x2:Q",
            y=alt.Y("y:Q", scale=_FREE, title=None),
            y2="y2:Q",
            opacity=alt.Opacity("height:Q", scale=alt.Scale(domain=[0, 1], range=[0, 1]), legend=None),
            color=_COLOUR,
        )
        .properties(width="container", height=190)
    )


def _spectrum() -> _Chart:
    base = alt.Chart(_ROWS).encode(
        x=alt.X("x:Q", scale=alt.Scale(type="log", nice=False), title="component", axis=alt.Axis(format="d")),
        y=alt.Y(
            "y:Q",
            scale=alt.Scale(type="log"),
            title="share of variance",
            axis=alt.Axis(format="~g", tickCount=5, grid=False),
        ),
        color=_COLOUR,
    )
    lines = base.mark_line(strokeWidth=1.4).encode(strokeDash=_DASH)
    points = base.mark_point(size=14, filled=True, opacity=1).encode(
        tooltip=["source:N", alt.Tooltip("x:Q", title="component"), alt.Tooltip("y:Q", title="share", format=".4")]
    )
    return alt.layer(lines, points).properties(width="container", height=240)


def _combinations() -> _Chart:
    def axis(title: str, field: str) -> dict[str, Any]:
        scale = alt.Scale(type="symlog", constant=1, nice=False)  # a logarithm that knows zero
        words = "datum.value < 1000 ? format(datum.value, 'd') : format(datum.value / 1000, 'd') + 'k'"
        ticks = alt.Axis(values=[0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000], labelExpr=words)
        return {"shorthand": f"{field}:Q", "scale": scale, "title": title, "axis": ticks}

    base = alt.Chart(_ROWS)
    diagonal = base.mark_line(color="var(--quiet)", strokeWidth=1, strokeDash=[2, 2]).encode(
        x=alt.X(**axis("real rows", "real")), y=alt.Y(**axis("synthetic rows", "real"))
    )
    points = base.mark_point(size=28, filled=True, opacity=0.45, color="var(--synthetic)").encode(
        x="real:Q", y="synthetic:Q", tooltip=["label:N", "real:Q", "synthetic:Q"]
    )
    return alt.layer(diagonal, points).properties(width="container", height=240)


def _projection(colour: alt.Color) -> _Chart:
    bare = alt.Axis(labels=False, ticks=False, grid=False, domain=False)
    return (
        alt.Chart(_ROWS)
        .mark_point(size=14, filled=True, opacity=0.5, strokeWidth=0)
        .encode(
            x=alt.X("x:Q", scale=_FREE, axis=bare),
            y=alt.Y("y:Q", scale=_FREE, axis=bare),
            color=colour,
            tooltip=["source:N", "cluster:N"],
        )
        .properties(width="container", height=420)
    )


def _scores() -> _Chart:
    base = alt.Chart(_ROWS).encode(
        y=alt.Y("model:N", sort=None, title=None, axis=alt.Axis(labelLimit=110, domain=False)),
        yOffset=alt.YOffset("label:N", sort=None),
        color=_COLOUR,
        tooltip=["model:N", alt.Tooltip("label:N", title="training → test"), alt.Tooltip("value:Q", format=".3f")],
    )
    intervals = base.mark_rule(strokeWidth=2, opacity=0.55).encode(
        x=alt.X("low:Q", scale=alt.Scale(zero=False)), x2="high:Q"
    )
    points = base.mark_point(size=46, filled=True, opacity=1).encode(
        x=alt.X("value:Q", title=None),
        shape=alt.Shape(
            "test:N", sort=None, scale=alt.Scale(range=["circle", "square", "diamond", "triangle-up"]), legend=None
        ),
    )
    return alt.layer(intervals, points).properties(width="container", height=alt.Step(15, **{"for": "offset"}))


def _importance() -> _Chart:
    base = alt.Chart(_ROWS).encode(
        y=alt.Y("label:N", sort=None, title=None, axis=alt.Axis(labelLimit=130, grid=True, domain=False)),
    )
    links = base.mark_rule(color="var(--quiet)", strokeWidth=1).encode(x="real:Q", x2="synthetic:Q")
    points = base.mark_point(size=46, filled=True, opacity=1).encode(
        x=alt.X("y:Q", title="share of the gain", axis=alt.Axis(format="%")),
        color=_COLOUR,
        tooltip=["label:N", "source:N", alt.Tooltip("y:Q", title="share", format=".1%")],
    )
    return alt.layer(links, points).properties(width="container", height=alt.Step(19))
