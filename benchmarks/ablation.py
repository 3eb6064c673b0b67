"""What each part of the generator is worth: fit, sample and judge with one part more at a time, beside the floor.

Every cell (a table, a step, a seed) is kept in the cache as soon as it is done, under a digest of data, settings and
code: a run that was stopped goes on where it was, and a change of the code runs again what it touches.
"""

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import command
import yaml
from cells import Bench, Cell, Fold, Step, generated, independent_columns, noisy_bootstrap
from pages import likeness, markdown, number, setting, use
from real_tables import ROOT, AbsentError, RealTable, load, names

from tabsyn_core.config import ChainConfig, GeneratorConfig
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import atomic_path, write_json
from tabsyn_core.generator import Generator

DOCS = ROOT / "docs/benchmarks"

CLEAN = {"dcr": 0.53, "mia": 0.55}
"""Shares and AUCs up to here cost nothing where a default is chosen."""

EXAMPLES = """\
examples:
  python benchmarks/ablation.py                                   solubility and Biogen, seeds 0 1 2
  python benchmarks/ablation.py --tables caco2_wang --seeds 0     one table, one seed
  python benchmarks/ablation.py --only bootstrap --only "9 "      two of the lines
  python benchmarks/ablation.py --tables all --write              write docs/benchmarks/ablation.md and .json
  python benchmarks/ablation.py --done --write                    the same of what the cache holds, running nothing
  python benchmarks/ablation.py --tables all --seeds 0 --only "10 " --page every-table --write
                                                                  the product on every table there is
  python benchmarks/ablation.py --tables all --seeds 0 --vary chain.core=0,24,48,none --vary proposals=1,4,8 --write
                                                                  write docs/benchmarks/defaults.md and .json

A full run takes hours on two cores, since each cell fits a generator. Stop it at any time; it goes on where it was.
"""


def steps(ours: GeneratorConfig) -> list[Step]:
    """The ladder from one normal a column to the product, and what stands beside it."""
    bare = replace(
        ours,
        diffusion=replace(ours.diffusion, width=512, num_blocks=4),  # of all columns: the product draws an eighth
        front_end="gaussian",
        identities=False,
        proposals=1,
        chain=ChainConfig(core=None),
        vae=replace(ours.vae, heads="interval"),
        adversarial=replace(ours.adversarial, steps=0),
    )
    quantile = replace(bare, front_end="quantile")
    bodies = replace(bare, front_end="families without atoms")
    atoms = replace(bare, front_end="families")
    heads = replace(atoms, vae=replace(ours.vae, heads="family"))
    identities = replace(heads, identities=True)
    game = replace(identities, adversarial=replace(ours.adversarial, steps=1))
    return [
        generated("1 Gaussian only", "VAE and diffusion on one normal a column", bare),
        generated("2 quantile", "instead: the quantile map of TabDDPM and TabSyn", quantile),
        generated("3 multi-distribution", "instead: a fitted family a column, without atoms", bodies),
        generated("4 + atoms", "repeated values and lattices are split off", atoms),
        generated("5 + family heads", "the decoder's heads are the families' likelihoods", heads),
        generated("6 + identities", "found, left out of training, recomputed; constraints kept", identities),
        generated("7 + discriminator in training", "k = 1 ascent before each descent of the diffusion", game),
        generated(
            "8 + autoregressive heads",
            "the diffusion draws a core of columns, trees the others; decoder heads and training as the product's "
            "defaults have them from here on",
            replace(ours, proposals=1),
        ),
        generated(
            "9 + discriminator at sampling", "a density ratio keeps one of 4 proposals", replace(ours, margins=False)
        ),
        generated("10 + margins", "the product: the defaults of GeneratorConfig", ours),
        generated(
            "heads without diffusion",
            "the defaults with chain.core = 0",
            replace(ours, chain=replace(ours.chain, core=0)),
            beside=True,
        ),
        generated(
            "published TabSyn",
            "GeneratorConfig.published(), for as many seconds as the longest fit of the ladder",
            GeneratorConfig.published(),
            beside=True,
            limited=True,
        ),
        Step(
            "bootstrap + 1 % noise",
            "training rows with replacement, 1 % of its sd added to each number: what copying gets",
            "bootstrap",
            noisy_bootstrap,
            beside=True,
        ),
        Step("independent columns", "each column drawn by itself", "independent", independent_columns, beside=True),
    ]


def run(bench: Bench, folds: Sequence[Fold], lines: Sequence[Step]) -> list[Cell]:
    """Every line on every fold, with a word after each."""
    cells: list[Cell] = []
    begin = time.monotonic()
    for done, (fold, step) in enumerate(product(folds, lines), start=1):
        where = f"[{done}/{len(folds) * len(lines)}, {(time.monotonic() - begin) / 60:.0f} min] "
        where += f"{fold.real.name} · seed {fold.seed} · {step.name}"
        limit = _longest(cells, fold) if step.limited else None
        if step.limited and limit is None:
            print(f"{where}: skipped, it gets the seconds of the ladder's longest fit, and none of it is there")
        elif (cell := bench.cell(fold, step, limit)) is not None:
            cells.append({**cell, "beside": step.beside})
            print(f"{where}: {_word(cell)}", flush=True)
    return cells


def _longest(cells: Sequence[Cell], fold: Fold) -> float | None:
    """The seconds of the longest fit of the ladder on the same rows."""
    of_fold = [cell for cell in cells if (cell["table"], cell["seed"]) == (fold.real.name, fold.seed)]
    return max((cell["fit_seconds"] for cell in of_fold if "fit_seconds" in cell and not cell["beside"]), default=None)


def _word(cell: Cell) -> str:
    if "error" in cell:
        return f"FAILED, {cell['error']}"
    figures = cell["figures"]
    said = ", ".join(f"{name} {number(figures[name], 3)}" for name in ("c2st_trees", "shape", "trend", "dcr"))
    return f"{said}, fit {cell['fit_seconds']:.0f} s"


# Pages


def ablation_page(
    cells: Sequence[Cell], reals: Sequence[RealTable], lines: Sequence[Step], skipped: Sequence[str]
) -> str:
    parts = ["# What each part is worth", _INTRODUCTION, setting(cells, "ablation.py"), "## The steps"]
    parts.append("\n".join(f"- **{step.name}**: {step.about}." for step in lines))
    for real in reals:
        of_table = [cell for cell in cells if cell["table"] == real.name]
        if of_table:
            parts += _table_section(real, of_table, lines)
    parts += [f"_{reason}_" for reason in skipped]
    return "\n\n".join(parts) + "\n"


def _table_section(real: RealTable, cells: Sequence[Cell], lines: Sequence[Step]) -> list[str]:
    good = [cell for cell in cells if "error" not in cell]
    failed = [f"- {cell['step']}, seed {cell['seed']}: {cell['error']}" for cell in cells if "error" in cell]
    if not good:
        return [f"## {real.name}", "\n".join(failed)]
    one_a_seed = {cell["seed"]: cell for cell in good}.values()
    rows = good[0]["rows"]
    size = f"{rows['training']:,} training rows, {rows['held_out']:,} held out, {good[0]['columns']} columns."
    sections = [f"## {real.name}", size]
    for title, columns in (("Likeness", likeness), ("Coverage, privacy, use", lambda part: use(part, real.targets))):
        head = [title, *(column.title for column in columns("figures"))]
        floor = ["**floor: real hold-out**", *(column.over([*one_a_seed]) for column in columns("floor"))]
        body = [
            [step.name, *(column.over(of_step) for column in columns("figures"))]
            for step in lines
            if (of_step := [cell for cell in good if cell["step"] == step.name])
        ]
        sections.append(markdown([head, floor, *body]))
    return [*sections, *(["Failed:\n\n" + "\n".join(failed)] if failed else [])]


_INTRODUCTION = """\
Each step adds one part to the one before it, but for steps 2 and 3, which put another front end in the place of the one
before. Rows are split 80 to 20 at random by the seed; the generator sees the 80 and draws as many rows; mean ± standard
deviation over the seeds. The floor is the same figure with the real held-out rows in place of the synthetic ones, and
for TSTR a model trained on as many real rows.

C2ST is the cross-validated AUC of telling rows from training rows (0.5 is best, less means copies); shape and trend are
SDMetrics' errors of columns and of pairs (0 is best); rules are those RDKit's definitions force, identities those found
on the training rows, supports bounds, whole numbers, levels and gaps, each the share of rows that obey all of them;
α-precision and β-recall are Alaa et al.'s (2022), on ranks; the DCR share and the AUC of a distance-based membership
inference (MIA) are clean at 0.5; TSTR is R² (AUROC for classes) on held-out rows of trees trained on synthetic rows."""


# Defaults


@dataclass(frozen=True)
class Sweep:
    """One setting of the product with several values."""

    name: str
    steps: dict[str, Step]

    @classmethod
    def parse(cls, text: str, ours: GeneratorConfig) -> "Sweep":
        """Read ``chain.core=0,24,none``.

        Raises:
            TabsynError: There is no such setting, or a value is none of its.
        """
        name, _, values = text.partition("=")
        found = {}
        for value in values.split(","):
            read = None if value == "none" else yaml.safe_load(value)
            try:
                config = Generator(ours).set_params(**{name.replace(".", "__"): read}).config
            except TypeError as error:
                raise TabsynError(f"{name} cannot be '{value}': {error}.") from error
            found[value] = generated(f"{name}={value}", f"the defaults with {name} = {value}", config)
        return cls(name, found)


_SCORED = ("c2st_trees", *CLEAN)

Score = dict[str, float]
Scores = Mapping[str, Mapping[str, Score]]
"""Table -> value -> C2ST of the trees, DCR share and AUC of membership inference, means over the seeds."""


def scores_of(sweep: Sweep, cells: Sequence[Cell]) -> dict[str, dict[str, Score]]:
    """Tables on which every value has figures."""
    found: dict[str, dict[str, Score]] = {}
    for table in dict.fromkeys(cell["table"] for cell in cells):
        for value, step in sweep.steps.items():
            good = [c for c in cells if (c["table"], c["step"]) == (table, step.name) and "error" not in c]
            if good:
                means = {name: statistics.mean(cell["figures"][name] for cell in good) for name in _SCORED}
                found.setdefault(table, {})[value] = means
    return {table: of_table for table, of_table in found.items() if len(of_table) == len(sweep.steps)}


def best_value(scores: Scores, tables: Sequence[str]) -> str:
    """The value with the least loss: the mean distance of C2ST from 0.5, plus what means exceed their CLEAN by."""

    def loss(value: str) -> float:
        told = statistics.mean(abs(scores[table][value]["c2st_trees"] - 0.5) for table in tables)
        means = {name: statistics.mean(scores[table][value][name] for table in tables) for name in CLEAN}
        return told + sum(max(means[name] - clean, 0.0) for name, clean in CLEAN.items())

    return min(scores[tables[0]], key=loss)


def sweep_section(sweep: Sweep, scores: Scores) -> str:
    if not scores:
        return f"## {sweep.name}\n\nNo table has figures for every value yet."
    tables, values = [*scores], [*sweep.steps]
    head = [sweep.name, *values, "chosen without it", "C2ST with that", "best for it"]
    rows = [head]
    for table in tables:
        others = [other for other in tables if other != table]
        chosen = best_value(scores, others) if others else None
        figures = [_triple(score) for score in scores[table].values()]
        outcome = [chosen, f"{scores[table][chosen]['c2st_trees']:.3f}"] if chosen else ["–", "–"]
        rows.append([table, *figures, *outcome, best_value(scores, [table])])
    means = [
        {name: statistics.mean(scores[table][value][name] for table in tables) for name in _SCORED} for value in values
    ]
    rows.append(["**mean**", *map(_triple, means), "", "", best_value(scores, tables)])
    return f"## {sweep.name}\n\n{markdown(rows)}"


def _triple(score: Score) -> str:
    return " / ".join(f"{score[name]:.3f}" for name in _SCORED)


def defaults_page(cells: Sequence[Cell], sweeps: Sequence[Sweep], skipped: Sequence[str]) -> str:
    sections = [sweep_section(sweep, scores_of(sweep, cells)) for sweep in sweeps]
    parts = [
        "# How the defaults were chosen",
        _CHOICE,
        setting(cells, "ablation.py"),
        *sections,
        *(f"_{reason}_" for reason in skipped),
    ]
    return "\n\n".join(parts) + "\n"


_CHOICE = f"""\
Each table under the product's defaults with one setting changed: C2ST of boosted trees / DCR share / AUC of membership
inference, all best at 0.5.
For each table stands the value that the *other* tables would have chosen, what it gives there, and the value the table
would have chosen for itself. A choice is the value with the least mean distance of C2ST from 0.5 plus whatever the mean
DCR share exceeds {CLEAN["dcr"]} and the mean AUC of membership inference {CLEAN["mia"]}, the limits that were set
beforehand. The last line is the choice of all tables together: the default follows it."""


# Command line


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--tables",
        nargs="+",
        default=["solubility", "biogen"],
        metavar="NAME",
        help=f"of {', '.join(names())}; tdc; all",
    )
    add("--seeds", nargs="+", type=command.seed, default=[0, 1, 2], metavar="SEED", help="0 1 2 if not given")
    add("--updates", type=int, metavar="N", help="of the diffusion, instead of GeneratorConfig's default")
    add("--vae-updates", type=int, metavar="N", help="of the VAE, instead of GeneratorConfig's default")
    add("--only", action="append", metavar="TEXT", help="only lines with this text in their name; may be repeated")
    add("--vary", action="append", metavar="NAME=A,B", help="compare values of a setting instead; may be repeated")
    add(
        "--cache",
        type=Path,
        default=ROOT / ".admet/ablation",
        metavar="FOLDER",
        help="of descriptors, rows and figures",
    )
    add("--done", action="store_true", help="print what the cache holds and run nothing")
    add("--write", action="store_true", help="write the page and its figures to docs/benchmarks")
    add("--page", default="ablation", metavar="NAME", help="of the page that --write writes; ablation if not given")
    return parser.parse_args()


def budgeted(updates: int | None, vae_updates: int | None) -> GeneratorConfig:
    config = GeneratorConfig()
    vae = replace(config.vae, num_updates=vae_updates or config.vae.num_updates)
    return replace(config, vae=vae, num_updates=updates or config.num_updates)


def open_tables(asked: Sequence[str], cache: Path) -> tuple[list[RealTable], list[str]]:
    """The tables that are there, and why others are not."""
    found, skipped = [], []
    for name in names(asked):
        try:
            found.append(load(name, cache))
        except AbsentError as error:
            print(error)
            skipped.append(str(error))
    return found, skipped


def publish(name: str, page: str, cells: Sequence[Cell], *, write: bool) -> None:
    print(f"\n{page}")
    if write:
        with atomic_path(DOCS / f"{name}.md") as temporary:
            temporary.write_text(page, encoding="utf-8")
        write_json(DOCS / f"{name}.json", [{k: v for k, v in cell.items() if k != "traceback"} for cell in cells])
        print(f"written: {DOCS / name}.md and .json")


def main() -> None:
    options = arguments()
    ours = budgeted(options.updates, options.vae_updates)
    sweeps = [Sweep.parse(text, ours) for text in options.vary or []]
    reals, skipped = open_tables(options.tables, options.cache)
    ladder = [step for step in steps(ours) if not options.only or any(text in step.name for text in options.only)]
    lines = [step for sweep in sweeps for step in sweep.steps.values()] or ladder
    folds = [Fold(real, seed) for seed in options.seeds for real in reals]
    cells = command.some(run(Bench(options.cache, run=not options.done), folds, lines), lambda: "run without --done")
    if sweeps:
        publish("defaults", defaults_page(cells, sweeps, skipped), cells, write=options.write)
    else:
        publish(options.page, ablation_page(cells, reals, ladder, skipped), cells, write=options.write)


if __name__ == "__main__":
    command.ending(main)
