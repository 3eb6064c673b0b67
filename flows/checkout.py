"""A checkout of its own for a scheduled run: nobody's working tree is touched, and two runs never meet.

A git worktree of ``HEAD`` that shares the project's DVC cache: what one run computed, no other computes again.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from tabsyn_core.errors import TabsynError
from tabsyn_core.files import atomic_path
from tasks import paths
from tasks.params import Params, load_params

KEEP_DAYS = 30
"""Folders of older scheduled runs are removed when a new one starts."""

BENCHMARKS = paths.STATE / "benchmark"

TABLES = (paths.TRAIN, paths.HOLDOUT, paths.SYNTHETIC, paths.REALIZED, paths.PROVENANCE)

RESULTS = (Path("dvc.lock"), Path("reports"), paths.DATA_DOCS, paths.STATE / paths.REGISTRATION.name, *TABLES)
"""What stays of a finished run in its folder, each under its own name, beside its ``params.yaml``."""

_COMPLETE = Path(".dvc/tmp/complete")
"""Lies in a checkout once all that a run needs is there."""


@contextmanager
def isolated_checkout(root: Path, run_id: str, overrides: Mapping[str, Any]) -> Iterator[Path]:
    """A worktree of ``HEAD`` under ``.admet/runs/<run_id>``, removed when the block ends without an error.

    The run's reports stay in ``.admet/runs/<run_id>``. After an error the worktree stays as well, and the next
    call with the same ``run_id`` continues in it.

    Args:
        root: The project's main checkout.
        run_id: Names the folder.
        overrides: Dotted keys of ``params.yaml`` and their values for this run.

    Raises:
        TabsynError: ``root`` is not a git checkout with a commit, an override is not a valid key or value, or the
            data is neither committed nor outside the project.
    """
    _forget_old_runs(root)
    folder = run_folder(root, run_id)
    params = _params_of_run(root, folder, overrides)
    checkout = _place(root, folder, params.data.source)
    if not (checkout / _COMPLETE).exists():
        _create(root, checkout, folder / paths.PARAMS, params.data.watch)
    yield checkout
    for result in RESULTS:
        if (checkout / result).exists():
            _keep(checkout / result, folder / result.name)
    _remove(root, checkout)


def run_folder(root: Path, run_id: str) -> Path:
    """The folder of one scheduled run, its reports once it has finished."""
    return root / paths.STATE / "runs" / run_id


def newest_results(root: Path) -> tuple[Path, list[Path]]:
    """Where the newest figures lie, in ``root`` or in the folder of a scheduled run, and the :data:`TABLES` they judge.

    Raises:
        TabsynError: Nothing was evaluated yet.
    """
    places = {root: [root / table for table in TABLES]}
    places |= {folder: [folder / table.name for table in TABLES] for folder in run_folder(root, "").glob("*")}
    judged = [folder for folder, tables in places.items() if all(map(Path.exists, (folder / paths.METRICS, *tables)))]
    if not judged:
        raise TabsynError(f"neither {root} nor a scheduled run in it holds an evaluated table; run dvc repro first.")
    newest = max(judged, key=lambda folder: (folder / paths.METRICS).stat().st_mtime)
    return newest, places[newest]


def _params_of_run(root: Path, folder: Path, overrides: Mapping[str, Any]) -> Params:
    """The params of ``HEAD`` with ``overrides`` put in, checked; ``folder`` keeps them for a run that continues."""
    kept = folder / paths.PARAMS
    if not kept.exists():
        text = _git(root, "show", f"HEAD:{paths.PARAMS}")
        if overrides:
            text = yaml.safe_dump(_overridden(yaml.safe_load(text), overrides), sort_keys=False, allow_unicode=True)
        with atomic_path(kept) as temporary:
            temporary.write_text(text, encoding="utf-8")
    try:
        return load_params(kept)
    except TabsynError:
        kept.unlink()
        raise


def _overridden(params: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in overrides.items():
        *sections, name = key.split(".")
        section = params
        for part in sections:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise TabsynError(f"override '{key}': '{part}' holds a value, not a section of {paths.PARAMS}.")
        section[name] = value
    return params


def _place(root: Path, folder: Path, source: str) -> Path:
    """Where under ``folder`` the checkout goes, so that a relative path to data outside it still leads there.

    For data at ``../shared/x.csv`` the checkout is ``<folder>/<project>`` and ``<folder>/shared`` is a link. So
    ``params.yaml`` and with it DVC's hashes stay as they are, and what was computed elsewhere is not computed again.
    """
    parts = (*Path(source).parts, "")
    ups = len(list(takewhile(lambda part: part == "..", parts)))
    above = root.parents[max(ups - 1, 0)]
    checkout = folder / root.relative_to(above)
    link = folder / parts[ups]
    if ups and link.name != root.relative_to(above).parts[0] and not link.is_symlink():
        link.symlink_to(above / link.name)
    return checkout


def _create(root: Path, checkout: Path, params: Path, watched: str) -> None:
    _remove(root, checkout)  # what a run that died in the middle of this left
    _git(root, "worktree", "add", "--detach", "--force", str(checkout), "HEAD")
    shutil.copyfile(params, checkout / paths.PARAMS)
    _share_cache(root, checkout)
    dvc(checkout, "checkout", "--quiet", "--allow-missing")
    if not (checkout / watched).exists():
        _remove(root, checkout)
        raise TabsynError(
            f"{watched} is not part of the last commit, and a scheduled run works on that. Commit it (git add "
            f"--force {watched}), give it to DVC (dvc add {watched}), or keep it outside the project."
        )
    (checkout / _COMPLETE).parent.mkdir(parents=True, exist_ok=True)
    (checkout / _COMPLETE).touch()


def _share_cache(root: Path, checkout: Path) -> None:
    """Point the checkout at the project's cache, with the project's local settings and no locks in common."""
    settings = ConfigParser(interpolation=None)
    settings.read(root / ".dvc" / "config.local")
    settings.read_dict({
        "cache": {"dir": dvc(root, "cache", "dir").strip()},
        "core": {"site_cache_dir": str(checkout / ".dvc" / "tmp" / "site")},
    })  # fmt: skip
    with atomic_path(checkout / ".dvc" / "config.local") as temporary:
        temporary.touch(mode=0o600)  # local settings may hold a remote's keys
        with temporary.open("w", encoding="utf-8") as file:
            settings.write(file)


def _forget_old_runs(root: Path) -> None:
    """Remove what scheduled runs and benchmarks left more than ``KEEP_DAYS`` ago."""
    limit = time.time() - KEEP_DAYS * 86400
    for folder in (*run_folder(root, "").glob("*"), *(root / BENCHMARKS).glob("*")):
        with suppress(FileNotFoundError):  # another run that starts removes it, too
            if folder.stat().st_mtime < limit:
                shutil.rmtree(folder, ignore_errors=True)
    _git(root, "worktree", "prune")


def _keep(result: Path, kept: Path) -> None:
    """Move ``result`` to where an earlier try of the same run may have left its own."""
    shutil.rmtree(kept, ignore_errors=True)  # into a folder that is there it would move; a file it replaces
    shutil.move(result, kept)


def _remove(root: Path, checkout: Path) -> None:
    (checkout / _COMPLETE).unlink(missing_ok=True)  # first: what is half removed must not look complete
    shutil.rmtree(checkout, ignore_errors=True)
    _git(root, "worktree", "prune")


def _git(root: Path, *arguments: str) -> str:
    return _run(["git", *arguments], root, "Scheduled runs work on the last commit of a git repository.")


def dvc(checkout: Path, *arguments: str) -> str:
    """Run this interpreter's ``dvc`` in ``checkout`` and return what it printed.

    Raises:
        TabsynError: It failed; the message is its own.
    """
    return python(checkout, "-m", "dvc", *arguments)


def python(checkout: Path, *arguments: str) -> str:
    """Run this interpreter in ``checkout``, on the code that lies there, and return what it printed.

    Raises:
        TabsynError: It failed; the message is its own.
    """
    return _run([sys.executable, *arguments], checkout, "See `admet-tabsyn doctor`.")


def _run(command: list[str], folder: Path, remedy: str) -> str:
    # A hook of git that runs us must not decide which repository we speak to.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(  # noqa: S603 - git or dvc, no shell
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise TabsynError(f"`{' '.join(command)}` failed in {folder}: {done.stderr.strip()}. {remedy}")
    return done.stdout
