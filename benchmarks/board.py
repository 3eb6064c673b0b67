"""The leaderboard's page: what the cells say, as Markdown, and the same as one HTML file that needs nothing else."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cells import Cell
from jinja2 import Environment, FileSystemLoader
from markdown_it import MarkdownIt
from markupsafe import Markup
from methods import OURS, PUBLISHED
from pages import Column, likeness, markdown, number, setting, use
from pictures import density_pictures, rank_diagram
from ranks import RANKED, competitors, friedman, losses, nemenyi, pairs, rank_table, ranks, within_budget
from real_tables import RealTable

_PROTOCOL = """\
Rows are split 80 to 20 at random by the seed; a method sees the 80 and draws as many rows; mean ± standard
deviation over the seeds. The floor is the same figure with the real held-out rows in place of the synthetic ones,
and for TSTR a model trained on as many real rows. Bootstrap hands out training rows: it shows what copying gets,
and what it costs in DCR and MIA."""

_BUDGET = """\
Every method gets the same budget of wall-clock seconds for its fit, on the same machine, one after another; a rival
that runs out of it is judged as it stands then, and *of recipe* says which share of its published training that
was: these are not its published figures. What cannot be cut short may take longer, an epoch of CTAB-GAN or the
trees and the discriminator of ours; the page names fits that took a tenth more than they had."""

_NO_BUDGET = "Every rival is trained as long as its authors say; the others take as long as they do."

_FIGURES = """\
C2ST is the cross-validated AUC of telling rows from training rows (0.5 is best, less means copies); shape and trend are
SDMetrics' errors of columns and of pairs (0 is best); rules are those RDKit's definitions force, identities those found
on the training rows, supports bounds, whole numbers, levels and gaps, each the share of rows that obey all of them;
α-precision and β-recall are Alaa et al.'s (2022), on ranks; the DCR share and the AUC of a distance-based membership
inference (MIA) are clean at 0.5; TSTR is R² (AUROC for classes) on held-out rows of trees trained on synthetic rows.
[How to read the report](../reading-the-report.md) says more; [the ablation](ablation.md) says what each part of ours
is worth, and [TabSyn beside its paper](literature.md) how far its preset is from published errors. Peak memory is that
of the largest process that fits and samples, Python and libraries included."""

_RANKS = """\
Mean ranks over the tables, 1 is best. Methods are ranked by losses: of C2ST and DCR how far they are from 0.5, of
β-recall what is missing to 1, of TSTR what is missing to the floor, shape and trend as they are; each of a seed, and
of a table the mean over its seeds. A method that fails on a table, or draws rows for which a figure cannot be
computed, ranks last there. Bootstrap and factorised are references: one hands out training rows, which only C2ST and
DCR hold against it, the other knows single columns only."""

_SHOWN_COMBINATIONS = 8


def page(cells: Sequence[Cell], reals: Sequence[RealTable], skipped: Sequence[str]) -> str:
    """Ranks over all tables, where ours is beaten, then a section a table."""
    budgeted = within_budget(cells)
    budget = _BUDGET if any(cell["settings"]["seconds"] is not None for cell in cells) else _NO_BUDGET
    parts = ["# Leaderboard", f"{_PROTOCOL}\n{budget}", _FIGURES, setting(cells, "leaderboard.py")]
    if competitors(budgeted):
        parts += [*_ranks_section(budgeted), *_beaten_section(budgeted)]
    for real in reals:
        of_table = [cell for cell in cells if cell["table"] == real.name]
        if of_table:
            parts += _table_section(real, of_table)
    return "\n\n".join([*parts, *(f"_{reason}_" for reason in skipped)]) + "\n"


def pictures(cells: Sequence[Cell], reals: Sequence[RealTable]) -> dict[str, str]:
    """The SVG files that the page refers to, by their names."""
    found = {}
    budgeted = within_budget(cells)
    means = {name: float(np.mean(of_name)) for name, of_name in ranks(losses(budgeted, RANKED[0])).items()}
    if means:
        found["leaderboard.svg"] = rank_diagram(means, _difference(budgeted))
    for real in reals:
        if real.pair and (grids := _grids(real, budgeted)):
            found[f"leaderboard-{real.name}.svg"] = density_pictures([*reversed(grids.items())], real.pair)
    return found


def _grids(real: RealTable, cells: Sequence[Cell]) -> dict[str, Any]:
    """Joint densities of the table's pair by method, the last one first, each of its first seed."""
    return {
        cell["step"]: cell["bank"]["grids"]
        for cell in reversed(cells)
        if cell["table"] == real.name and "error" not in cell and cell.get("bank", {}).get("grids")
    }


def html(content: str, images: Mapping[str, str]) -> str:
    """The page as one file, with its pictures inside."""
    markdown_it = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown_it.add_render_rule("image", lambda _, tokens, place, *__: images.get(str(tokens[place].attrs["src"]), ""))
    body = markdown_it.render(content)
    body = body.replace("<table>", '<div class="wide" tabindex="0"><table>').replace("</table>", "</table></div>")
    body = body.replace(f"<tr>\n<td>{OURS}</td>", f'<tr class="ours">\n<td>{OURS}</td>')
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    rendered: str = templates.get_template("leaderboard.html.j2").render(content=Markup(body))  # noqa: S704  rendered with html off
    return rendered


def _difference(cells: Sequence[Cell]) -> float | None:
    found = ranks(losses(cells, RANKED[0]))
    return nemenyi(len(found), len(next(iter(found.values())))) if friedman(found) is not None else None


def _ranks_section(cells: Sequence[Cell]) -> list[str]:
    head = ["method", "mean rank", *(ranked.title for ranked in RANKED)]
    body = [[name, *(f"{value:.2f}" for value in row)] for name, row in rank_table(cells).items()]
    left_out = [name for name in dict.fromkeys(cell["step"] for cell in cells) if name not in competitors(cells)]
    parts = ["## Ranks", _RANKS, markdown([head, *body]), _tested(cells)]
    if losses(cells, RANKED[0]):
        parts.append("![Mean ranks by C2ST and their critical difference](leaderboard.svg)")
    return parts + (
        [f"Not ranked, because they finished nowhere or were not run everywhere: {', '.join(left_out)}."]
        if left_out
        else []
    )


def _tested(cells: Sequence[Cell]) -> str:
    """What the Friedman test and Nemenyi's critical difference say of the C2ST, in words."""
    found = ranks(losses(cells, RANKED[0]))
    tables = len(next(iter(found.values()), []))
    p, difference = friedman(found), _difference(cells)
    if p is None or difference is None:
        return f"{tables} table{'s are' if tables != 1 else ' is'} too few for a test of the ranks by C2ST."
    return (
        f"By C2ST over {tables} tables: Friedman test p = {p:.2g}; two methods differ (Nemenyi, 5 %) where their mean "
        f"ranks are more than {difference:.2f} apart, and bars join those that do not."
    )


def _beaten_section(cells: Sequence[Cell]) -> list[str]:
    """Where a rival has less loss than ours, figure by figure: in means, whatever a test says."""
    if OURS not in competitors(cells):
        return []
    lines = []
    for ranked in RANKED:
        for table, of_table in losses(cells, ranked).items():
            better = [name for name, loss in of_table.items() if loss < of_table[OURS]]
            if better:
                lines.append(f"- {table}, {ranked.title}: {', '.join(sorted(better, key=of_table.__getitem__))}")
    return ["## Where ours is beaten", "In means, whatever the tests below say.", "\n".join(lines) or "Nowhere."]


def _table_section(real: RealTable, cells: Sequence[Cell]) -> list[str]:
    good = [cell for cell in cells if "error" not in cell]
    failed = [f"- {cell['step']}, seed {cell['seed']}: {cell['error']}" for cell in cells if "error" in cell]
    sections = [f"## {real.name}"]
    if good:
        rows = good[0]["rows"]
        budgets = {seconds for cell in cells if (seconds := cell["settings"]["seconds"]) is not None}
        size = f"{rows['training']:,} training rows, {rows['held_out']:,} held out, {good[0]['columns']} columns"
        seconds = " and ".join(f"{budget:.0f}" for budget in sorted(budgets))
        sections.append(size + (f"; {seconds} seconds a fit." if budgets else "."))
        sections += _overran(within_budget(good))
        sections += _figures(real, within_budget(good))
        if real.pair and _grids(real, within_budget(good)):
            sections.append(f"![Density of {' and '.join(real.pair)}](leaderboard-{real.name}.svg)")
        if published := [cell for cell in good if cell["step"].endswith(PUBLISHED)]:
            sections += ["### Published recipes", "The same, each trained as long as its authors say."]
            sections += _figures(real, published)
        sections += _paired(within_budget(good))
    if stale := sorted({cell["step"] for cell in good if cell.get("stale")}):
        sections.append(f"Figures of {', '.join(stale)} are of earlier code.")
    return [*sections, *(["Failed:\n\n" + "\n".join(failed)] if failed else [])]


def _overran(good: Sequence[Cell]) -> list[str]:
    """Which methods took a tenth more than their budget, by the longest of their fits."""
    longest: dict[str, tuple[float, float]] = {}
    for cell in good:
        seconds, budget = cell["fit_seconds"], cell["settings"]["seconds"]
        if budget is not None and seconds > max(1.1 * budget, longest.get(cell["step"], (0.0, 0.0))[0]):
            longest[cell["step"]] = (seconds, budget)
    told = [f"{name} ({seconds:.0f} s of {budget:.0f})" for name, (seconds, budget) in longest.items()]
    return [f"More than their budget took {', '.join(told)}."] if told else []


def _figures(real: RealTable, good: Sequence[Cell]) -> list[str]:
    if not good:
        return []
    kinds = [("Likeness", _likeness), ("Coverage, privacy, use", lambda part: use(part, real.targets))]
    kinds += [("Bank", _bank)] if real.pair else []
    one_a_seed = [*{cell["seed"]: cell for cell in good}.values()]
    tables = [markdown(_rows(title, columns, good, one_a_seed)) for title, columns in kinds]
    tables += _combinations(good) if real.pair else []
    cost = [["Cost", *(column.title for column in _COST)], *_lines(_COST, good)]
    return [*tables, markdown(cost)]


def _rows(
    title: str, columns: Callable[[str], list[Column]], good: Sequence[Cell], one_a_seed: Sequence[Cell]
) -> list[list[str]]:
    head = [title, *(column.title for column in columns("figures"))]
    floor = ["**floor: real hold-out**", *(column.over(one_a_seed) for column in columns("floor"))]
    return [head, floor, *_lines(columns("figures"), good)]


def _lines(columns: Sequence[Column], good: Sequence[Cell]) -> list[list[str]]:
    of_steps = {
        name: [cell for cell in good if cell["step"] == name] for name in dict.fromkeys(c["step"] for c in good)
    }
    return [
        [name.removesuffix(PUBLISHED), *(column.over(cells) for column in columns)] for name, cells in of_steps.items()
    ]


def _likeness(part: str) -> list[Column]:
    return [column for column in likeness(part) if not column.title.endswith(" s")]


def _bank(part: str) -> list[Column]:
    def of(name: str) -> Callable[[Cell], float | None]:
        return lambda cell: cell["bank"][part][name]

    return [
        Column("combinations of categories, TVD", of("combinations"), 4),
        Column("rows of unseen combinations", of("unseen"), 2, share=True),
        Column("amount × balance, TVD", of("density")),
    ]


def _combinations(good: Sequence[Cell]) -> list[str]:
    """How often the commonest combinations of categories occur, in per cent of the rows; of one seed."""
    of_seed = [cell for cell in good if cell["seed"] == good[0]["seed"] and cell["bank"]["counts"]]
    if not of_seed:
        return []
    rows = of_seed[0]["bank"]["counted"]
    made = {
        cell["step"]: {each["combination"]: each["synthetic"] for each in cell["bank"]["counts"]} for cell in of_seed
    }
    body = [
        [each["combination"], *(_percent(each[name], rows) for name in ("real", "held_out"))]
        + [_percent(of_step.get(each["combination"]), rows) for of_step in made.values()]
        for each in of_seed[0]["bank"]["counts"][:_SHOWN_COMBINATIONS]
    ]
    words = f"The commonest combinations of categories, in per cent of the rows, seed {good[0]['seed']}:"
    return [words, markdown([["Combination", "training", "held out", *made], *body])]


def _percent(count: float | None, rows: int) -> str:
    return number(None if count is None else 100 * count / rows, 1)


def of_recipe(cell: Cell) -> float | None:
    """The share of its published training that a rival made: of updates, epochs, or rounds of trees."""
    effort: dict[str, Any] = cell["more"]
    made = {name: effort.get(f"published {name}") for name in effort}
    parts: dict[str, float] = {name: effort[name] / whole for name, whole in made.items() if whole}
    if not parts:
        return None
    # Levels, copies and trees of a forest multiply; the updates of an autoencoder and a diffusion model do not.
    return float(np.prod([*parts.values()])) if "levels" in parts else min(parts.values())


_COST = (
    Column("fit s", lambda cell: cell["fit_seconds"], 1),
    Column("sample s", lambda cell: cell["sample_seconds"], 1),
    Column("of recipe", of_recipe, 1, share=True),
    Column("peak MiB", lambda cell: cell["more"]["peak_mib"], 0),
    Column("rows/s", lambda cell: cell["more"]["rows_a_second"], 0),
)


def _paired(good: Sequence[Cell]) -> list[str]:
    found = pairs(good)
    if not found:
        return []
    titles = [ranked.title for ranked in RANKED]
    known = {(pair.rival, pair.figure): pair for pair in found}
    rows = [["Ours is better by", *titles]]
    for rival in dict.fromkeys(pair.rival for pair in found):
        row = [known.get((rival, title)) for title in titles]
        rows.append([rival, *("–" if pair is None else _mark(pair.better_by, bold=pair.decided) for pair in row)])
    seeds = max(pair.seeds for pair in found)
    words = (
        "One seed: differences stand without a test."
        if seeds < 2
        else f"Mean difference of the losses over {seeds} seeds; bold where a corrected resampled t-test (Nadeau & "
        "Bengio 2003), corrected by Holm for all rivals and figures of the table, finds it at 5 %."
    )
    return ["### Pair by pair", words, markdown(rows)]


def _mark(value: float, *, bold: bool) -> str:
    text = f"{value:+.3f}"
    return f"**{text}**" if bold else text
