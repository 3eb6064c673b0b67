"""One self-contained HTML page: every column's density and QQ plot, worst fit first."""

from collections import Counter
from html import escape

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

from tabsyn_core.distributions.column import ColumnDistribution
from tabsyn_core.distributions.grid import Grid
from tabsyn_core.distributions.table import Distributions

Floats = NDArray[np.float64]

_WIDTH, _HEIGHT, _MARGIN = 150, 100, 4
_BINS = 30
_QUANTILES = 60
_MAX_BARS = 40
_SEED = 0  # of the scores of discrete bodies, drawn inside their jumps


def render_page(
    table: pl.DataFrame, distributions: Distributions, *, chosen_by: str = "held-out log likelihood"
) -> str:
    """Draw each column's data against its fitted distribution.

    The drawings are SVG with the page's own colours, so that they follow a dark or a light screen.

    Args:
        table: The rows the distributions were fitted to.
        distributions: What to draw.
        chosen_by: How families were chosen, for the page's first line.

    Returns:
        HTML without any reference to another file; equal input gives equal text.
    """
    ranked = sorted(distributions.values(), key=_badness)
    families = Counter(distribution.family for distribution in ranked)
    ordered = sorted(families.items(), key=lambda item: (-item[1], item[0]))
    summary = ", ".join(f"{escape(name)} {count}" for name, count in ordered)
    cards = "\n".join(_card(table[distribution.name], distribution) for distribution in ranked)
    return _PAGE.format(
        columns=len(ranked), rows=table.height, criterion=escape(chosen_by), summary=summary, cards=cards
    )


def _badness(distribution: ColumnDistribution) -> tuple[float, float, str]:
    """Smallest p-value first, then the largest statistic; untested columns last."""
    fit = distribution.fit
    return (2.0 if fit.p_value is None else fit.p_value, -(fit.statistic or 0.0), distribution.name)


def _card(values: pl.Series, distribution: ColumnDistribution) -> str:
    fit = distribution.fit
    tested = f"{fit.test} p = {fit.p_value:.3g}, {fit.rows} held-out rows" if fit.p_value is not None else "not tested"
    words = escape(f"{distribution.name} {distribution.describe()} {distribution.kind}".lower(), quote=True)
    poor = " poor" if fit.p_value is not None and fit.p_value < 0.01 else ""
    return (
        f'<figure class="card{poor}" data-words="{words}"><figcaption><b>{escape(distribution.name)}</b>'
        f"<span>{escape(str(distribution.kind))} · {tested}</span>"
        f"<p>{escape(distribution.describe())}</p></figcaption>"
        f"<div>{_density(values, distribution)}{_quantiles(values, distribution)}</div></figure>"
    )


def _density(values: pl.Series, distribution: ColumnDistribution) -> str:
    """Bars for the data; a line for a body, dots for a family of counts, stems for atoms beside a body."""
    body = distribution.body
    if body is None:
        return _bars(distribution)
    states, _ = distribution.encode(values, np.random.default_rng(_SEED))
    x = values.cast(pl.Float64).to_numpy()[states == len(distribution.atoms)]
    low, high = np.quantile(x, [0.005, 0.995])
    edges = _edges(float(low), float(high), body.grid if body.jumps else None)
    shares = np.histogram(x, edges)[0] / len(x)
    fitted = np.diff(body.cdf(edges))
    top = max(float(shares.max()), float(fitted.max()), 1e-12)
    scaled = _scale(edges)
    drawn = [_rectangle(a, b, share / top) for a, b, share in zip(scaled[:-1], scaled[1:], shares, strict=True)]
    drawn.append(_line((scaled[:-1] + scaled[1:]) / 2, fitted / top, "fit"))
    atoms = [(a, p) for a, p in zip(distribution.atoms, distribution.atom_probabilities, strict=True) if a is not None]
    highest = max((p for _, p in atoms), default=1.0)
    for atom, probability in atoms:
        if edges[0] <= atom <= edges[-1]:
            place = float(np.interp(atom, edges, scaled))
            drawn.append(_line(np.array([place, place]), np.array([0, probability / highest]), "atom"))
    return _svg("density", drawn, f"{low:.4g}", f"{high:.4g}")


def _bars(distribution: ColumnDistribution) -> str:
    names = distribution.levels or distribution.atoms
    shares = distribution.state_probabilities
    shown = np.sort(np.argsort(-shares, kind="stable")[:_MAX_BARS])
    edges = np.linspace(0, 1, len(shown) + 1)
    top = max(float(shares.max()), 1e-12)
    gap = 0.1 / len(shown)
    drawn = [_rectangle(edges[i] + gap, edges[i + 1] - gap, shares[s] / top) for i, s in enumerate(shown)]
    if distribution.counts is not None:
        fitted = np.exp(distribution.log_prob(pl.Series([names[s] for s in shown], dtype=pl.Float64)))
        drawn += [_dot((edges[i] + edges[i + 1]) / 2, float(f) / top, "fit") for i, f in enumerate(fitted)]
    ends = ["missing" if names[s] is None else f"{names[s]}"[:12] for s in (shown[0], shown[-1])]
    return _svg("shares", drawn, ends[0], ends[1] if len(shown) > 1 else "")


def _quantiles(values: pl.Series, distribution: ColumnDistribution) -> str:
    """Normal scores of the data against normal quantiles: on the diagonal where the family fits."""
    body = distribution.body or distribution.counts
    if body is None:
        return ""
    rng = np.random.default_rng(_SEED)
    x = values.cast(pl.Float64).to_numpy()
    if distribution.body is None:
        scores = body.encode(x[~np.isnan(x)], rng)
    else:
        states, found = distribution.encode(values, rng)
        scores = found[states == len(distribution.atoms)]
    levels = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    limit = 2.6
    ideal = special.ndtri(levels) / limit / 2 + 0.5
    seen = np.clip(np.quantile(scores, levels) / limit / 2 + 0.5, 0, 1)
    drawn = [_line(np.array([0.0, 1.0]), np.array([0.0, 1.0]), "atom")]
    drawn += [_dot(float(a), float(b), "seen") for a, b in zip(ideal, seen, strict=True)]
    return _svg("QQ of normal scores", drawn, "-2.6", "2.6")


def _edges(low: float, high: float, grid: Grid | None) -> Floats:
    """Histogram edges; on a grid they lie half a step beside its values."""
    if high <= low:
        return np.array([low - 0.5, low + 0.5])
    if grid is None:
        return np.linspace(low, high, _BINS + 1)
    width = max(1.0, np.ceil((high - low) / grid.step / _BINS)) * grid.step
    return np.arange(low - grid.step / 2, high + width, width)


def _scale(edges: Floats) -> Floats:
    return np.asarray((edges - edges[0]) / (edges[-1] - edges[0]))


def _at(x: float, y: float) -> str:
    left = _MARGIN + x * (_WIDTH - 2 * _MARGIN)
    return f"{left:.1f},{_HEIGHT - _MARGIN - y * (_HEIGHT - 2 * _MARGIN):.1f}"


def _rectangle(left: float, right: float, height: float) -> str:
    return f'<path class="data" d="M{_at(left, 0)}L{_at(left, height)}L{_at(right, height)}L{_at(right, 0)}z"/>'


def _line(x: Floats, y: Floats, style: str) -> str:
    points = "L".join(_at(float(a), float(b)) for a, b in zip(x, y, strict=True))
    return f'<path class="{style}" d="M{points}"/>'


def _dot(x: float, y: float, style: str) -> str:
    return f'<path class="dot {style}" d="M{_at(x, min(y, 1.0))}h.01"/>'


def _svg(title: str, drawn: list[str], low: str, high: str) -> str:
    labels = f'<text x="2" y="{_HEIGHT + 9}">{escape(low)}</text>'
    labels += f'<text x="{_WIDTH - 2}" y="{_HEIGHT + 9}" text-anchor="end">{escape(high)}</text>'
    view = f'viewBox="0 0 {_WIDTH} {_HEIGHT + 12}" role="img" aria-label="{title}"'
    return f"<svg {view}><title>{title}</title>{''.join(drawn)}{labels}</svg>"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Column distributions</title><style>
:root{{color-scheme:light dark;--ground:#fff;--card:#f6f7f9;--ink:#1c2128;--soft:#5b6470;--data:#9db8d9;
--fit:#c2410c;--atom:#7c8794;--seen:#1d5fa8}}
@media(prefers-color-scheme:dark){{:root{{--ground:#14171c;--card:#1e232b;--ink:#e6e9ee;--soft:#a0a9b5;
--data:#3f5f87;--fit:#fb923c;--atom:#8a95a3;--seen:#7db7f5}}}}
body{{margin:0 auto;max-width:1500px;padding:1rem;background:var(--ground);color:var(--ink);
font:14px/1.4 system-ui,sans-serif}}
h1{{font-size:1.3rem;margin:.2rem 0}}p{{margin:.2rem 0;color:var(--soft)}}
input{{font:inherit;padding:.4rem .6rem;width:min(24rem,100%);box-sizing:border-box;margin:.6rem 0;
background:var(--card);color:var(--ink);border:1px solid var(--soft);border-radius:6px}}
main{{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(330px,100%),1fr));gap:.7rem}}
.card{{margin:0;padding:.6rem;background:var(--card);border-radius:8px;border-left:3px solid transparent;
content-visibility:auto;contain-intrinsic-size:auto 210px}}
.poor{{border-left-color:var(--fit)}}.card[hidden]{{display:none}}
figcaption b{{overflow-wrap:anywhere;margin-right:.5rem}}figcaption span{{color:var(--soft);font-size:12px}}
figcaption p{{font-size:12px;overflow-wrap:anywhere}}
.card div{{display:flex;gap:.5rem}}svg{{width:50%;height:auto;background:var(--ground);border-radius:4px}}
svg text{{font-size:8px;fill:var(--soft)}}.data{{fill:var(--data)}}
.fit,.atom,.seen{{fill:none;stroke-width:1.4}}.fit{{stroke:var(--fit)}}.atom{{stroke:var(--atom)}}
.seen{{stroke:var(--seen)}}.dot{{stroke-width:3.2;stroke-linecap:round}}
</style></head><body>
<h1>Column distributions</h1>
<p>{columns} columns, {rows} rows; families chosen by {criterion}. Worst fit first; a coloured edge marks p &lt; 0.01.
Bars are the data, the orange line or dots the fitted family, grey stems values split off as atoms (on a scale of their
own). On the right, normal scores of the data against normal quantiles: the diagonal is a perfect fit.</p>
<details><summary>Families</summary><p>{summary}</p></details>
<input id="search" type="search" placeholder="Search: column, family, kind" aria-label="Search columns">
<p id="found" aria-live="polite"></p>
<main>
{cards}
</main>
<script>
const box=document.getElementById("search"),cards=[...document.querySelectorAll(".card")];
box.addEventListener("input",()=>{{
  const words=box.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let shown=0;
  for(const card of cards){{
    card.hidden=!words.every(word=>card.dataset.words.includes(word));
    shown+=!card.hidden;
  }}
  document.getElementById("found").textContent=words.length?`${{shown}} of ${{cards.length}} columns`:"";
}});
</script></body></html>
"""
