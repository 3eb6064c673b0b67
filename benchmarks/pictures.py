"""The pictures of the leaderboard, as SVG that follows the reader's light or dark theme."""

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10
from typing import Any

from methods import OURS
from ranks import cliques

_STYLE = """\
<style>
  text { font: 13px system-ui, "Segoe UI", Roboto, sans-serif; fill: #1d2329 }
  .quiet { fill: #5a646d; font-size: 11px } .ours { font-weight: 600; fill: #b84a16 }
  line, path { stroke: #7b858d; fill: none } .clique { stroke: #1d2329; stroke-width: 4; stroke-linecap: round }
  .cell { fill: #2a7ab8 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e8eb } .quiet { fill: #9aa5ae } .ours { fill: #f08a54 } .clique { stroke: #e4e8eb }
    .cell { fill: #58a6de }
  }
</style>"""

_LEFT, _WIDTH, _ROW = 150, 480, 20


def rank_diagram(means: Mapping[str, float], difference: float | None) -> str:
    """Mean ranks on a line, 1 (best) at the left; bars join methods that the critical difference does not part.

    Args:
        means: The mean rank of each method.
        difference: The critical difference; None draws no bars.
    """
    order = sorted(means, key=lambda name: means[name])
    last, half = max(len(order), 2), (len(order) + 1) // 2
    joined = [] if difference is None else cliques(means, difference)

    def x(rank: float) -> float:
        return _LEFT + _WIDTH * (rank - 1) / (last - 1)

    axis = 46
    first = axis + 14 + 9 * len(joined)
    parts = [f'<line x1="{x(1):.1f}" y1="{axis}" x2="{x(last):.1f}" y2="{axis}"/>']
    for tick in range(1, last + 1):
        parts.append(f'<line x1="{x(tick):.1f}" y1="{axis - 5}" x2="{x(tick):.1f}" y2="{axis}"/>')
        parts.append(f'<text class="quiet" x="{x(tick):.1f}" y="{axis - 9}" text-anchor="middle">{tick}</text>')
    if difference is not None:
        end = min(x(1 + difference), _LEFT + _WIDTH)
        parts.append(f'<path d="M{x(1):.1f} 12V18M{x(1):.1f} 15H{end:.1f}M{end:.1f} 12V18"/>')
        words = f"critical difference {difference:.2f}"
        parts.append(f'<text class="quiet" x="{end + 6:.1f}" y="19">{words}</text>')
    for level, group in enumerate(joined):
        ends = x(means[group[0]]) - 3, x(means[group[-1]]) + 3
        height = axis + 10 + 9 * level
        parts.append(f'<line class="clique" x1="{ends[0]:.1f}" y1="{height}" x2="{ends[1]:.1f}" y2="{height}"/>')
    for place, name in enumerate(order):
        better = place < half
        row = first + _ROW * (place if better else len(order) - 1 - place)
        edge, anchor = (_LEFT - 8, "end") if better else (_LEFT + _WIDTH + 8, "start")
        parts.append(f'<path d="M{x(means[name]):.1f} {axis}V{row}H{edge}"/>')
        about = f"{escape(name)} {means[name]:.2f}"
        kind = ' class="ours"' if name == OURS else ""
        step = -4 if better else 4
        parts.append(f'<text{kind} x="{edge + step}" y="{row + 4}" text-anchor="{anchor}">{about}</text>')
    return _svg(2 * _LEFT + _WIDTH, first + _ROW * half, "Mean ranks and critical difference", parts)


_SIDE, _GAP, _ACROSS = 120, 16, 6


def density_pictures(grids: Sequence[tuple[str, Mapping[str, Any]]], pair: tuple[str, str]) -> str:
    """The density of two columns: the training rows', then that of each method's rows, darkest where it is highest.

    Args:
        grids: A method's name and the ``grids`` of :func:`bank.bank_figures`.
        pair: The columns: the first to the right, the second upwards.
    """
    shown = [("training rows", grids[0][1]["real"]), *((name, grid["synthetic"]) for name, grid in grids)]
    parts = []
    for place, (name, grid) in enumerate(shown):
        left, top = (_SIDE + _GAP) * (place % _ACROSS), 24 + (_SIDE + _GAP + 18) * (place // _ACROSS)
        side = _SIDE / len(grid)
        parts.append(f'<text class="{"ours" if name == OURS else ""}" x="{left}" y="{top - 6}">{escape(name)}</text>')
        parts.append(f'<path d="M{left} {top}h{_SIDE}v{_SIDE}h-{_SIDE}z"/>')
        parts += [
            f'<rect class="cell" opacity="{height:.2f}" x="{left + side * i:.1f}" '
            f'y="{top + _SIDE - side * (j + 1):.1f}" width="{side:.1f}" height="{side:.1f}"/>'
            for i, column in enumerate(grid)
            for j, height in enumerate(column)
            if height >= 0.01
        ]
    rows = -(-len(shown) // _ACROSS)
    height = 24 + (_SIDE + _GAP + 18) * rows
    words = f"{pair[0]} to the right, {pair[1]} upwards; the middle 98 % of the training rows"
    parts.append(f'<text class="quiet" x="0" y="{height - 4}">{escape(words)}</text>')
    return _svg((_SIDE + _GAP) * _ACROSS, height + 4, f"Density of {' and '.join(pair)}", parts)


_COLOURS = ("#2a7ab8", "#d9622b", "#1f7a45", "#7a5aa6")


def curves(lines: Mapping[str, Sequence[tuple[float, float]]], across: str, up: str) -> str:
    """Lines over logarithmic axes; two of a table, by the first word of their names, share a colour, the second dashed.

    Args:
        lines: Points above 0 by name; others are left out.
        across: What runs to the right.
        up: What runs upwards.
    """
    kept = {name: [point for point in points if min(point) > 0] for name, points in lines.items()}
    points = [point for line in kept.values() for point in line]
    if not points:
        return _svg(_LEFT, 40, up, [])
    ends = [(floor(log10(min(axis))), ceil(log10(max(axis) * 1.001))) for axis in zip(*points, strict=True)]
    width, height, left, top = 460, 300, 60, 24

    def place(point: tuple[float, float]) -> tuple[float, float]:
        shares = [(log10(value) - low) / (high - low) for value, (low, high) in zip(point, ends, strict=True)]
        return left + width * shares[0], top + height * (1 - shares[1])

    parts = [f'<path d="M{left} {top}V{top + height}H{left + width}"/>']
    for power in range(ends[0][0], ends[0][1] + 1):
        x, y = place((10.0**power, 10.0 ** ends[1][0]))
        parts.append(f'<text class="quiet" x="{x:.0f}" y="{y + 16:.0f}" text-anchor="middle">{10.0**power:,g}</text>')
    for power in range(ends[1][0], ends[1][1] + 1):
        x, y = place((10.0 ** ends[0][0], 10.0**power))
        parts.append(f'<text class="quiet" x="{x - 6:.0f}" y="{y + 4:.0f}" text-anchor="end">{10.0**power:g}</text>')
    tables = [*dict.fromkeys(name.split()[0] for name in kept)]
    for row, (name, line) in enumerate(kept.items()):
        colour, dashed = _COLOURS[tables.index(name.split()[0]) % len(_COLOURS)], name.split()[-1] == "trend"
        style = f'style="stroke: {colour}; stroke-width: 2"' + (' stroke-dasharray="5 4"' if dashed else "")
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in map(place, sorted(line)))
        parts += [f'<path d="M{path}" {style}/>'] if line else []
        y = top + 18 * row
        parts.append(f'<path d="M{left + width + 12} {y}h24" {style}/>')
        parts.append(f'<text x="{left + width + 42}" y="{y + 4}">{escape(name)}</text>')
    parts.append(
        f'<text class="quiet" x="{left + width}" y="{top + height + 32}" text-anchor="end">{escape(across)}</text>'
    )
    parts.append(f'<text class="quiet" x="4" y="14">{escape(up)}</text>')
    return _svg(left + width + 160, top + height + 40, f"{up} against {across}", parts)


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img"'
    body = "\n".join(parts)
    return f'{opening} width="{width:.0f}" aria-label="{escape(title)}">\n{_STYLE}\n{body}\n</svg>\n'
