"""Where a model comes from: git revision, DVC hashes and Prefect run, as tags; and where its registry lies."""

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tabsyn_core.errors import TabsynError
from tasks.paths import DESCRIPTORS, GENERATOR, HOLDOUT, MOLECULES, TRAIN

LOCK = Path("dvc.lock")
PIPELINE = Path("dvc.yaml")

DATASET = (MOLECULES, DESCRIPTORS, TRAIN, HOLDOUT)
"""What :mod:`tasks.restore` brings back beside the generator."""

PREFECT_RUN_VARIABLE = "ADMET_TABSYN_PREFECT_RUN_ID"
"""A flow that runs the pipeline names itself here."""

ABSENT = "absent"

_CODE = ("tabsyn_core", "tasks", "flows")
"""Where a file that git does not know can change what a run does."""

_USER_IN_URL = re.compile(r"(?<=://)[^/\s]+@")
_SECRET_IN_QUERY = re.compile(
    r"(?i)([?&][^=&#\s]*(?:key|token|secret|pass|pwd|auth|credential|sig)[^=&#\s]*=)[^&#\s'\"]+"
)


def provenance(checkout: Path, source: Path) -> dict[str, str]:
    """The tags that lead from a registered version back to its code, data and run.

    A file's hash is always computed from the file, in DVC's way, so that it is true even when ``dvc.lock`` is
    stale; ``dvc.not_in_lock`` then names the files that ``dvc.lock`` does not describe and that cannot be
    restored from it.

    Args:
        checkout: The directory that holds ``dvc.yaml``.
        source: The raw data, relative to ``checkout`` (``data.watch`` in ``params.yaml``).
    """
    hashes = {path.as_posix(): md5_or_absent(checkout / path) for path in (source, *DATASET, GENERATOR)}
    locked = locked_hashes(checkout / LOCK)
    unlocked = [path for path, md5 in hashes.items() if md5 != ABSENT and locked.get(path) != md5]
    flow_run = os.environ.get(PREFECT_RUN_VARIABLE)
    return {
        **git_tags(checkout),
        **{md5_tag(path): md5 for path, md5 in hashes.items()},
        **({"dvc.not_in_lock": ", ".join(unlocked)} if unlocked else {}),
        **({"prefect.flow_run_id": flow_run} if flow_run else {}),
    }


def md5_tag(path: Path | str) -> str:
    """The tag that holds a file's hash."""
    parts = [part for part in Path(path).parts if part not in ("..", "/")]  # MLflow refuses names that leave a folder
    return f"dvc.md5.{'/'.join(parts)}"


def git_tags(checkout: Path) -> dict[str, str]:
    """The revision, and whether tracked files differ from it or untracked ones stand among the code.

    ``dvc.lock`` does not count: a run rewrites it, and it is logged beside the tags.
    """
    revision = _git(checkout, "rev-parse", "HEAD")
    if revision is None:
        return {"git.revision": ABSENT}
    changes = _git(checkout, "status", "--porcelain", "--untracked-files=no", "--", ".", f":(exclude){LOCK}")
    unknown = _git(
        checkout, "ls-files", "--others", "--exclude-standard", "--", *(f"{folder}/*.py" for folder in _CODE)
    )
    return {"git.revision": revision, "git.dirty": "true" if changes or unknown else "false"}


def project_root(checkout: Path) -> Path:
    """The main checkout, which worktrees and temporary DVC experiments share a registry with.

    ``dvc exp run --temp`` and ``--queue`` work in clones under ``.dvc/tmp/exps`` of the original; a git worktree
    knows the repository it belongs to; anything else is its own root.
    """
    checkout = checkout.resolve()
    for parent in checkout.parents:
        if parent.parts[-3:] == (".dvc", "tmp", "exps"):
            return parent.parents[2]
    common = _git(checkout, "rev-parse", "--path-format=absolute", "--git-common-dir")
    if common is None or Path(common).name != ".git":
        return checkout
    return Path(common).parent / (_git(checkout, "rev-parse", "--show-prefix") or "")


def md5_or_absent(path: Path) -> str:
    """The hash DVC gives ``path``, or ``"absent"``."""
    return dvc_md5(path) if path.exists() else ABSENT


def dvc_md5(path: Path) -> str:
    """The hash that DVC 3 writes into ``dvc.lock`` for a file or a directory.

    A directory's is the MD5 of the JSON list of its files' hashes and relative paths, with ``.dir`` behind it.
    """
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    files = sorted((file.relative_to(path).parts, file) for file in path.rglob("*") if file.is_file())
    listing = [{"md5": dvc_md5(file), "relpath": "/".join(parts)} for parts, file in files]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def locked_hashes(lock: Path) -> dict[str, str]:
    """Path to MD5 for every dependency and output of the stages in ``dvc.lock``; empty without that file.

    Raises:
        TabsynError: The file is not what DVC writes.
    """
    if not lock.exists():
        return {}
    try:
        stages: dict[str, Any] = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise TabsynError(f"{lock} is not a DVC lock file; restore it from git or run dvc repro.") from error
    entries = [entry for stage in stages.values() for kind in ("deps", "outs") for entry in stage.get(kind, [])]
    return {entry["path"]: entry["md5"] for entry in entries if "md5" in entry}


def redact(text: str) -> str:
    """``text`` without the user names, passwords and tokens in its URLs."""
    return _SECRET_IN_QUERY.sub(r"\1***", _USER_IN_URL.sub("***@", text))


def origin_url(checkout: Path) -> str:
    """Where the code was cloned from, without credentials."""
    return redact(_git(checkout, "remote", "get-url", "origin") or ABSENT)


def _git(checkout: Path, *arguments: str) -> str | None:
    """What git prints, or ``None`` where there is no git or no repository."""
    try:
        run = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            ["git", *arguments],  # noqa: S607 - the user's own git
            cwd=checkout,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()
