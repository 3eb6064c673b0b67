"""What each part of the molecule-backed mode is worth: proposals, choice, endpoints and search, beside the floor.

Every line gives a row for each training row; the tabular mode stands beside them, and what endpoints can be hoped for.
Cells are kept in the cache as those of the ablation are: a run that was stopped goes on where it was.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import command
import numpy as np
import polars as pl
from ablation import open_tables, publish, run
from cells import Bench, Cell, Drawn, Fold, Step
from numpy.typing import NDArray
from pages import Column, likeness, markdown, setting, use
from real_tables import ROOT, RealTable, names
from sklearn.model_selection import KFold

from tabsyn_core.boosting import boosted, share_of_columns
from tabsyn_core.chemistry.descriptors import DESCRIPTOR_NAMES
from tabsyn_core.chemistry.similarity import nearest_similarity
from tabsyn_core.chemistry.standardize import Molecule, standardize
from tabsyn_core.chemistry.workshop import SKELETON
from tabsyn_core.config import GeneratorConfig
from tabsyn_core.errors import TabsynError
from tabsyn_core.generator import Generator
from tabsyn_core.molecules import Realized, Realizer, RealizerConfig

Floats = NDArray[np.float64]

EXAMPLES = """\
examples:
  python benchmarks/molecules.py                                  solubility and Biogen, seed 0
  python benchmarks/molecules.py --tables caco2_wang --only ratio one line on one table
  python benchmarks/molecules.py --seeds 0 1 2 --write            write docs/benchmarks/molecules.md and .json
  python benchmarks/molecules.py --done                           print what the cache holds, running nothing

A line of Biogen takes some minutes on two cores. Stop it at any time; it goes on where it was.
"""

LOCAL_SEARCH = 4
"""Metropolis steps of the last line."""

_MODULES = ("tabsyn_core.generator", "tabsyn_core.molecules.realizer")
_SCRIPT = Path(__file__).name


class Mode:
    """The molecule-backed mode on folds; what two lines have in common is fitted once."""

    def __init__(self) -> None:
        self._generators: dict[str, tuple[Generator, float]] = {}
        self._realized: dict[tuple[str, RealizerConfig], tuple[Realized, float, float]] = {}

    def generator(self, fold: Fold) -> tuple[Generator, float]:
        """The default generator and the seconds of its fit."""
        if (key := _key(fold)) not in self._generators:
            start = time.perf_counter()
            fitted = Generator().fit(fold.train, seed=fold.seed, schema=fold.schema)
            self._generators[key] = (fitted, time.perf_counter() - start)
        return self._generators[key]

    def tabular(self, fold: Fold, _: float | None) -> Drawn:
        """Rows of the generator by itself."""
        fitted, seconds = self.generator(fold)
        start = time.perf_counter()
        rows = fitted.sample(fold.train.height, seed=fold.seed)
        return Drawn(rows, seconds, time.perf_counter() - start)

    def realized(self, fold: Fold, config: RealizerConfig) -> tuple[Realized, float, float]:
        """Rows with their molecules, and the seconds of the fit (the generator's among them) and of sampling."""
        if (key := (_key(fold), config)) not in self._realized:
            smiles, _ = molecules(fold)
            generator, seconds = self.generator(fold)
            start = time.perf_counter()
            table = fold.real.completed(fold.train)
            realizer = Realizer(config).fit(smiles, table, generator, seed=fold.seed)
            fitted = time.perf_counter()
            found = realizer.sample(fold.train.height, seed=fold.seed)
            self._realized[key] = (found, seconds + fitted - start, time.perf_counter() - fitted)
        return self._realized[key]

    def step(
        self, name: str, about: str, config: RealizerConfig, *, borrowed: bool = False, beside: bool = False
    ) -> Step:
        """A line; with ``borrowed``, endpoints are those of the most similar training molecule."""

        def draw(fold: Fold, _: float | None) -> Drawn:
            found, fit_seconds, sample_seconds = self.realized(fold, config)
            rows = found.rows.select(fold.train.columns)
            if borrowed:
                endpoints = [column for column in fold.train.columns if column in _endpoints(fold)]
                donors = fold.train[found.provenance["nearest"].to_numpy()].select(endpoints)
                rows = pl.concat([rows.drop(endpoints), donors], how="horizontal").select(fold.train.columns)
            return Drawn(rows, fit_seconds, sample_seconds, structures(fold, found))

        settings = {"realize": asdict(config), "borrowed": borrowed}
        return Step(name, about, settings, draw, beside, modules=_MODULES, script=_SCRIPT)


def steps() -> list[Step]:
    """From proposals as they come to the product and beyond it, and what stands beside."""
    mode = Mode()
    product = RealizerConfig()
    plain = replace(product, proposals=1, apart=False)
    apart = replace(product, proposals=1)
    search = replace(product, local_search=LOCAL_SEARCH)
    return [
        Step("tabular mode", "the generator by itself", asdict(GeneratorConfig()), mode.tabular, beside=True),
        mode.step(
            "1 proposals only",
            "walks of exchanges as they come; endpoints are those of the most similar training molecule",
            plain,
            borrowed=True,
        ),
        mode.step("2 + apart", "the training row nearest to a row is no parent of its molecule", apart, borrowed=True),
        mode.step(
            "3 + density ratio",
            f"one of {product.proposals} candidates is kept, by the cross-fitted discriminator",
            product,
            borrowed=True,
        ),
        mode.step(
            "4 + matched endpoints",
            "endpoints of a training row of which as much was to be expected from its descriptors: the product",
            product,
        ),
        mode.step("5 + local search", f"{LOCAL_SEARCH} Metropolis steps a row", search),
        mode.step(
            "4 with diffusion endpoints",
            "instead of the matched ones: drawn by the generator's imputation, given the descriptors",
            replace(product, endpoints="imputed"),
            beside=True,
        ),
        Step(
            "real descriptors, predicted endpoints",
            "training rows whose endpoints are replaced by predictions of trees that have not seen them (5 folds)",
            "cross-fitted",
            lambda fold, _: cross_fitted(fold, spread=False),
            beside=True,
            modules=("tabsyn_core.boosting",),
            script=_SCRIPT,
        ),
        Step(
            "real descriptors, drawn endpoints",
            "as before, with the residual of another row: the spread that the data have",
            "cross-fitted with residuals",
            lambda fold, _: cross_fitted(fold, spread=True),
            beside=True,
            modules=("tabsyn_core.boosting",),
            script=_SCRIPT,
        ),
    ]


def _key(fold: Fold) -> str:
    return f"{fold.real.digest} {fold.seed}"


def _endpoints(fold: Fold) -> list[str]:
    return [name for name in fold.train.columns if name not in DESCRIPTOR_NAMES]


def molecules(fold: Fold) -> tuple[list[str], list[str]]:
    """SMILES of the training and of the held-out rows.

    Raises:
        TabsynError: The table holds none.
    """
    if not fold.real.smiles:
        raise TabsynError(f"table '{fold.real.name}' has no molecules; name one that has, such as solubility.")
    table = replace(fold.real, rows=pl.DataFrame({"smiles": fold.real.smiles}))
    train, held_out = (part["smiles"].to_list() for part in table.split(fold.seed))
    return train, held_out


def structures(fold: Fold, found: Realized) -> dict[str, float]:
    """Shares of new and of different molecules, and Tanimoto similarity to the nearest training molecule."""
    train, held_out = molecules(fold)
    known = {each.inchikey[:SKELETON] for each in standardize(train, workers=1) if isinstance(each, Molecule)}
    keys = found.provenance["inchikey"].str.head(SKELETON)
    own = found.provenance["similarity"]
    others = nearest_similarity(held_out, train)
    return {
        "novelty": float(np.mean(~keys.is_in([*known]).to_numpy())),
        "uniqueness": keys.n_unique() / len(keys),
        "tanimoto_mean": float(np.mean(own.to_numpy())),
        "tanimoto_high": float(np.quantile(own.to_numpy(), 0.9)),
        "held_out_tanimoto_mean": float(others.mean()),
        "held_out_tanimoto_high": float(np.quantile(others, 0.9)),
    }


def cross_fitted(fold: Fold, *, spread: bool) -> Drawn:
    """Training rows with other endpoints: what trees say that were fitted to four fifths of the other rows.

    Nothing that draws endpoints from descriptors can be expected to teach more than this on as many rows.
    """
    start = time.perf_counter()
    rng = np.random.default_rng([fold.seed, 3])
    features = fold.train.drop(_endpoints(fold)).cast(pl.Float64).to_numpy()
    drawn = [_replaced(features, fold.train[name], fold.seed, rng if spread else None) for name in fold.real.targets]
    return Drawn(fold.train.with_columns(drawn), 0.0, time.perf_counter() - start)


def _replaced(features: Floats, column: pl.Series, seed: int, rng: np.random.Generator | None) -> pl.Series:
    """A target as others would have it, with the residuals of other rows or drawn by its probabilities if told to."""
    classes = sorted(column.unique().to_list())
    numeric = column.dtype.is_numeric() and len(classes) > 2
    labels = column.cast(pl.Float64).to_numpy() if numeric else np.array([classes.index(each) for each in column])
    settings: dict[str, Any] = {"objective": "regression"}
    if not numeric:
        settings = {"objective": "multiclass", "num_class": len(classes)}
    predicted = np.zeros((len(labels), 1 if numeric else len(classes)))
    for known, unknown in KFold(5, shuffle=True, random_state=seed).split(features):
        share = share_of_columns(features.shape[1])
        model = boosted(
            features[known], labels[known], 0, seed, 400, learning_rate=0.03, feature_fraction=share, **settings
        )
        predicted[unknown] = np.reshape(model.predict(features[unknown]), (len(unknown), -1))
    if numeric:
        values = predicted[:, 0]
        if rng is not None:
            values = values + (labels - values)[rng.permutation(len(values))]
        return pl.Series(column.name, values).cast(column.dtype)
    chances = np.log(np.maximum(predicted, 1e-12))
    noise = rng.gumbel(size=chances.shape) if rng is not None else np.zeros_like(chances)
    return pl.Series(column.name, [classes[place] for place in (chances + noise).argmax(axis=1)], dtype=column.dtype)


# Page


def page(cells: Sequence[Cell], reals: Sequence[RealTable], lines: Sequence[Step], skipped: Sequence[str]) -> str:
    parts = ["# What each part of the molecule-backed mode is worth", _INTRODUCTION, setting(cells, "molecules.py")]
    parts += ["## The lines", "\n".join(f"- **{step.name}**: {step.about}." for step in lines)]
    for real in reals:
        of_table = [cell for cell in cells if cell["table"] == real.name]
        if of_table:
            parts += _section(real, of_table, lines)
    return "\n\n".join([*parts, *(f"_{reason}_" for reason in skipped)]) + "\n"


def _section(real: RealTable, cells: Sequence[Cell], lines: Sequence[Step]) -> list[str]:
    good = [cell for cell in cells if "error" not in cell]
    failed = [f"- {cell['step']}, seed {cell['seed']}: {cell['error']}" for cell in cells if "error" in cell]
    sections = [f"## {real.name}"]
    if good:
        rows = good[0]["rows"]
        sections.append(f"{rows['training']:,} training molecules, {rows['held_out']:,} held out.")
        kinds: tuple[tuple[str, Callable[[str], list[Column]]], ...] = (
            ("Likeness", likeness),
            ("Coverage, privacy, use", lambda part: use(part, real.targets)),
            ("Molecules", _structure_columns),
        )
        sections += [_table(title, columns, good, lines) for title, columns in kinds]
    return [*sections, *(["Failed:\n\n" + "\n".join(failed)] if failed else [])]


def _table(title: str, columns: Callable[[str], list[Column]], cells: Sequence[Cell], lines: Sequence[Step]) -> str:
    one_a_seed = [*{cell["seed"]: cell for cell in cells if cell["more"] or title != "Molecules"}.values()]
    body = []
    for step in lines:
        of_step = [cell for cell in cells if cell["step"] == step.name and (cell["more"] or title != "Molecules")]
        if of_step:
            body.append([step.name, *(column.over(of_step) for column in columns("figures"))])
    head = [title, *(column.title for column in columns("figures"))]
    floor = ["**floor: real hold-out**", *(column.over(one_a_seed) for column in columns("floor"))]
    return markdown([head, floor, *body])


def _structure_columns(part: str) -> list[Column]:
    def more(name: str) -> Callable[[Cell], float | None]:
        return lambda cell: cell["more"].get(name)

    held_out = "held_out_" if part == "floor" else ""
    shares = [
        Column("novelty", more("novelty"), 1, share=True),
        Column("uniqueness", more("uniqueness"), 1, share=True),
    ]
    if part == "floor":
        shares = [replace(column, value=lambda _: None) for column in shares]
    return [
        *shares,
        Column("Tanimoto to nearest training molecule, mean", more(f"{held_out}tanimoto_mean")),
        Column("90 % quantile", more(f"{held_out}tanimoto_high")),
    ]


_INTRODUCTION = """\
Rows are split 80 to 20 at random by the seed; the mode sees the molecules and rows of the 80 and gives as many rows.
Figures are those of [the ablation](ablation.md), beside them for molecules: the share that is new (InChIKey without
stereochemistry, against the training molecules), the share that is different from all others, and the Tanimoto
similarity (ECFP4) of each to the nearest training molecule, for the floor that of held-out molecules. Seconds are wall
clock on a machine that others used as well; those of the fit contain the generator's.

The last two lines say what redrawing endpoints costs by itself: nothing but the endpoints of the training rows is
replaced, by cross-fitted predictions, without and with the spread that the data have around them."""


# Command line


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    tables = ", ".join(names(["solubility", "biogen", "tdc"]))
    add("--tables", nargs="+", default=["solubility", "biogen"], metavar="NAME", help=f"of {tables}; tdc")
    add("--seeds", nargs="+", type=command.seed, default=[0], metavar="SEED", help="0 if not given")
    add("--only", action="append", metavar="TEXT", help="only lines with this text in their name; may be repeated")
    add("--cache", type=Path, default=ROOT / ".admet/ablation", metavar="FOLDER", help="of rows and figures")
    add("--done", action="store_true", help="print what the cache holds and run nothing")
    add("--write", action="store_true", help="write the page and its figures to docs/benchmarks")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    reals, skipped = open_tables(options.tables, options.cache)
    lines = [step for step in steps() if not options.only or any(text in step.name for text in options.only)]
    folds = [Fold(real, seed) for seed in options.seeds for real in reals]
    cells = command.some(run(Bench(options.cache, run=not options.done), folds, lines), lambda: "run without --done")
    publish("molecules", page(cells, reals, lines, skipped), cells, write=options.write)


if __name__ == "__main__":
    command.ending(main)
