"""Our three attacks on synthetic rows beside those of the anonymeter package (Giomi et al., PoPETs 2023).

The package needs numpy below 1.27 and therefore an environment of its own, which is made once in the cache. A third of
the rows are training rows, a third is held out, a third is fresh. Three tables stand for synthetic rows: the training
rows themselves, training rows drawn with replacement and moved by noise of 1 % of a standard deviation, and the fresh
rows, which no one learnt from.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from real_tables import ROOT, AbsentError, RealTable, load

from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation.attacks import ATTEMPTS, Risk, attacks, column_halves, secret_columns
from tabsyn_core.evaluation.tables import Table, align
from tabsyn_core.files import atomic_path

DOCS = ROOT / "docs/benchmarks/anonymeter.md"
TABLES = ("solubility", "shoppers")
PACKAGES = ("anonymeter==1.1.0", "numpy<1.27")

EXAMPLES = """\
examples:
  python benchmarks/anonymeter_comparison.py                                solubility, and shoppers where it is
  python benchmarks/anonymeter_comparison.py --tables solubility --seed 1   other splits
  python benchmarks/anonymeter_comparison.py --write                        write docs/benchmarks/anonymeter.md
"""

# Runs in the other environment: reads a job, prints rates and risks.
ATTACK = """
import json, sys, warnings
import pandas as pd
from anonymeter.evaluators import InferenceEvaluator, LinkabilityEvaluator, SinglingOutEvaluator

warnings.simplefilter("ignore")
job = json.load(open(sys.argv[1]))
text = {name: str for name in job["text"]}
ori, control, syn = (pd.read_csv(job[part], dtype=text) for part in ("ori", "control", "syn"))
both = {"ori": ori, "syn": syn, "control": control}
evaluators = {}
for mode, columns in (("one column", 1), ("several columns", 3)):
    single = SinglingOutEvaluator(**both, n_attacks=job["attempts"], n_cols=columns, seed=job["seed"],
                                  max_attempts=job["attempts"] * 60)
    evaluators["singling out by " + mode] = (single, {"mode": "univariate" if columns == 1 else "multivariate"})
near = min(job["attempts"], len(ori), len(control))
if job["halves"][0]:
    evaluators["linkability"] = (LinkabilityEvaluator(**both, aux_cols=job["halves"], n_attacks=near), {"n_jobs": 1})
for secret in job["secrets"]:
    aux = [name for name in ori.columns if name != secret]
    known = {part: table.dropna(subset=[secret]) for part, table in both.items()}
    inference = InferenceEvaluator(**known, aux_cols=aux, secret=secret, regression=secret not in text, n_attacks=near)
    evaluators["inference of " + secret] = (inference, {"n_jobs": 1})
found = {}
for name, (evaluator, options) in evaluators.items():
    try:
        evaluator.evaluate(**options)
        rates, risk = evaluator.results(), evaluator.risk()
        found[name] = {"attack": rates.attack_rate.value, "control": rates.control_rate.value, "risk": risk.value,
                       "low": risk.ci[0], "high": risk.ci[1]}
    except Exception as error:
        found[name] = {"error": f"{type(error).__name__}: {error}"}
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Compared:
    """One attack by both.

    Attributes:
        table: Which rows stood for synthetic ones.
        ours: Our attack.
        theirs: Its ``attack`` and ``control`` rates, ``risk``, ``low`` and ``high``, or the ``error`` it ended with.
        negative: Whether numbers below zero are inferred.
    """

    table: str
    ours: Risk
    theirs: dict[str, Any]
    negative: bool

    @property
    def agree(self) -> str:
        """Whether the 95 % intervals of both risks meet."""
        if self.ours.low is None or self.ours.high is None or "error" in self.theirs:
            return "–"
        if self.negative:
            return "†"
        return "yes" if self.ours.low <= self.theirs["high"] and self.theirs["low"] <= self.ours.high else "**no**"

    def line(self) -> str:
        """A row of the Markdown table."""
        ours, theirs = self.ours, self.theirs
        mine = f"{_rates(ours.attack.value, ours.control.value)} | {_risk(ours.risk, ours.low, ours.high)}"
        other = (
            f"{theirs['error']} | –"
            if "error" in theirs
            else f"{_rates(theirs['attack'], theirs['control'])} | "
            f"{_risk(theirs['risk'], theirs['low'], theirs['high'])}"
        )
        return f"| {self.table} | {ours.name} | {mine} | {other} | {self.agree} |"


def _rates(attack: float | None, control: float | None) -> str:
    return "–" if attack is None or control is None else f"{attack:.2f} / {control:.2f}"


def _risk(risk: float | None, low: float | None, high: float | None) -> str:
    return "–" if risk is None else f"{risk:.2f} [{low:.2f}, {high:.2f}]"


def environment(cache: Path) -> Path:
    """The Python of the package's environment, made if it is not there.

    Raises:
        TabsynError: It cannot be installed.
    """
    folder = cache / "venv"
    python, done = folder / ("Scripts" if os.name == "nt" else "bin") / "python", folder / "installed.txt"
    if not (done.exists() and done.read_text(encoding="utf-8") == "\n".join(PACKAGES)):
        print(f"installing {' and '.join(PACKAGES)} in {folder}", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        installed = subprocess.run(  # noqa: S603  # the command is ours
            [python, "-m", "pip", "install", "--quiet", *PACKAGES], capture_output=True, text=True, check=False
        )
        if installed.returncode:
            raise TabsynError(
                f"{' and '.join(PACKAGES)} cannot be installed in {folder}: {installed.stderr.strip()[-500:]}. "
                "Check the package index, or give another --cache."
            )
        done.write_text("\n".join(PACKAGES), encoding="utf-8")
    return python


def stand_ins(train: pl.DataFrame, fresh: pl.DataFrame, seed: int) -> dict[str, pl.DataFrame]:
    """What stands for synthetic rows."""
    rng = np.random.default_rng([seed, 1])
    rows = train[rng.integers(0, train.height, train.height)]
    moved = [
        rows[name] + 0.01 * float(np.nanstd(train[name].to_numpy())) * pl.Series(rng.normal(size=rows.height))
        for name in rows.columns
        if rows.schema[name].is_float()
    ]
    return {"training rows": train, "noisy bootstrap": rows.with_columns(moved), "fresh real rows": fresh}


def compare(table: RealTable, python: Path, seed: int) -> tuple[list[Compared], dict[str, float]]:
    """Both sides' attacks on each table, and how long each side took in all."""
    order = np.random.default_rng(seed).permutation(table.rows.height)
    train, holdout, fresh = (table.rows[np.sort(part)] for part in np.array_split(order, 3))
    secrets = _secrets(table, train, seed)
    compared, seconds = [], {"ours": 0.0, "anonymeter": 0.0}
    for name, fake in stand_ins(train, fresh, seed).items():
        seen, unseen, other = align({"training": train, "held-out": holdout, "synthetic": fake}, seed).values()
        start = time.monotonic()
        ours = attacks(seen, unseen, other, seed, secrets)
        between = time.monotonic()
        job = {"ori": train, "control": holdout, "syn": fake}
        theirs = _their_attacks(python, job, seen, secrets, seed)
        seconds["ours"] += between - start
        seconds["anonymeter"] += time.monotonic() - between
        below = {f"inference of {secret}" for secret in secrets if _reaches_below_zero(train[secret])}
        compared += [
            Compared(name, risk, theirs.get(risk.name, {"error": "not run"}), risk.name in below) for risk in ours
        ]
        for each in compared[-len(ours) :]:
            print(each.line(), flush=True)
    return compared, seconds


def _secrets(table: RealTable, train: pl.DataFrame, seed: int) -> tuple[str, ...]:
    """The targets and one numeric column at random that no row has below zero."""
    numbers = [each.name for each in train if each.dtype.is_numeric() and not _reaches_below_zero(each)]
    aligned = align({"training": train.select(numbers)}, seed)["training"] if numbers else None
    more = [name for name in secret_columns(aligned, (), seed) if name not in table.targets] if aligned else []
    return (*table.targets, *more[:1])


def _reaches_below_zero(column: pl.Series) -> bool:
    return column.dtype.is_numeric() and bool((column < 0).any())


def _their_attacks(
    python: Path, tables: dict[str, pl.DataFrame], train: Table, secrets: Sequence[str], seed: int
) -> dict[str, dict[str, Any]]:
    """The package's rates and risks by attack, with the same columns in each half and the same secrets."""
    with tempfile.TemporaryDirectory() as folder:
        job: dict[str, Any] = {
            "halves": column_halves(train, seed),
            "secrets": secrets,
            "text": train.categorical,
            "attempts": ATTEMPTS,
            "seed": seed,
        }
        for part, table in tables.items():
            job[part] = str(Path(folder) / f"{part}.csv")
            table.write_csv(job[part])
        described = Path(folder) / "job.json"
        described.write_text(json.dumps(job), encoding="utf-8")
        run = subprocess.run([python, "-c", ATTACK, described], capture_output=True, text=True, check=False)  # noqa: S603  # as above
    if run.returncode:
        raise TabsynError(f"anonymeter failed: {run.stderr.strip()[-500:]}. Remove its folder in the cache, run again.")
    found: dict[str, dict[str, Any]] = json.loads(run.stdout.splitlines()[-1])
    return found


def report(done: Sequence[tuple[RealTable, list[Compared], dict[str, float]]]) -> str:
    """The page in Markdown."""
    lines = [
        "# Our attacks beside anonymeter's",
        "",
        *(__doc__ or "").strip().splitlines(),
        "",
        "`attack / control` are success rates on training and on held-out rows, `risk` is (attack - control) /",
        "(1 - control) with its 95 % interval; `agree` says whether the two intervals meet. Both sides know the same",
        f"halves of the columns and infer the same secrets, with {ATTEMPTS} attempts, or as many as there are rows.",
        "",
        "What differs: anonymeter's predicates on several columns have 3 columns, ours 2 to 6, and on one column",
        "theirs are mostly numbers that occur once, ours half extremes, which noise moves less. Its rates count the",
        "predicates wanted, ours those found. Of equally near rows, with us all count for a link. † anonymeter 1.1.0",
        "takes every guess of a number below zero for right, random ones too, so that its rates there are near 1 and",
        "its risk is not to be compared.",
        "",
        f"- Python {platform.python_version()}, {', '.join(PACKAGES)}",
        f"- Command: `{shlex.join(['python', 'benchmarks/anonymeter_comparison.py', *sys.argv[1:]])}`",
    ]
    for table, compared, seconds in done:
        judged = [each.agree for each in compared if each.agree not in {"–", "†"}]
        lines += [
            "",
            f"## {table.name}",
            "",
            f"{table.rows.height} rows, {table.rows.width} columns.",
            f"{judged.count('yes')} of {len(judged)} risks agree.",
            f"All attacks: ours {seconds['ours']:.0f} s, anonymeter {seconds['anonymeter']:.0f} s.",
            "",
            "| synthetic rows | attack | ours: attack / control | risk | anonymeter: attack / control | risk | agree |",
            "|---|---|---|---|---|---|---|",
            *(each.line() for each in compared),
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=TABLES, help="names as in benchmarks/ablation.py")
    parser.add_argument("--seed", type=int, default=0, help="splits the rows and draws everything (default 0)")
    parser.add_argument("--cache", type=Path, default=ROOT / ".admet/anonymeter", help="keeps the environment")
    parser.add_argument("--write", action="store_true", help=f"write {DOCS.relative_to(ROOT)}")
    arguments = parser.parse_args()
    python, done = environment(arguments.cache), []
    for name in arguments.tables:
        try:
            table = load(name, arguments.cache)
        except AbsentError as absent:
            print(absent)
            continue
        done.append((table, *compare(table, python, arguments.seed)))
    if not done:
        raise TabsynError("no table is there; see --tables.")
    page = report(done)
    print(page)
    if arguments.write:
        with atomic_path(DOCS) as temporary:
            temporary.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
