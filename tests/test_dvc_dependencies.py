"""A change of code must run what it decides: each stage depends on every module of ours that it imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from project import ROOT

OURS = ("tasks", "tabsyn_core")

DECIDE_NO_RESULT = {
    "tasks/__init__.py",
    "tasks/paths.py",  # a path that moved is a dependency or an output of another name
    "tasks/provenance.py",  # params.py keeps credentials out of its messages with it
    "tasks/stage.py",
    "tasks/telemetry.py",
    "tabsyn_core/__init__.py",
    "tabsyn_core/chemistry/__init__.py",
    "tabsyn_core/errors.py",
    "tabsyn_core/files.py",
    "tabsyn_core/private/__init__.py",
    "tabsyn_core/progress.py",
}
"""How a stage is started, watched and written to disk. Whatever computes a value has no place here."""

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def file_of(module: str) -> Path | None:
    path = Path(*module.split("."))
    found = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in found if module.startswith(OURS) and (ROOT / file).exists()), None)


def run_time_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker reads: such an import decides no result."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from run_time_nodes(node)


def imported(file: Path) -> Iterator[str]:
    """The names of all modules that ``file`` imports, inside of functions too, with the packages they lie in."""
    for node in run_time_nodes(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: a relative import, which this test does not follow"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def closure(module: str) -> set[Path]:
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        file = file_of(waiting.pop())
        if file and file not in found:
            found.add(file)
            waiting += imported(file)
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_it_imports(stage: str) -> None:
    python, m, module = STAGES[stage]["cmd"].split()[:3]
    assert (python, m) == ("python", "-m")
    needed = {file for file in closure(module) if file.as_posix() not in DECIDE_NO_RESULT}
    declared = {Path(path) for path in STAGES[stage]["deps"]}
    missing = {file for file in needed if not declared & {file, *file.parents}}
    assert file_of(module) in needed
    assert not missing


def test_imports_are_followed_through_packages_and_into_functions() -> None:
    reached = {file.as_posix() for file in closure("tasks.validate")}
    assert "tasks/expectations.py" in reached, "imported in a function"
    assert "tabsyn_core/chemistry/workers.py" in reached, "imported by what descriptors.py imports"
    assert "tabsyn_core/diffusion/sampler.py" in {file.as_posix() for file in closure("tasks.train")}


def test_every_exemption_is_still_needed() -> None:
    reached = {file.as_posix() for stage in STAGES.values() for file in closure(stage["cmd"].split()[2])}
    assert reached >= DECIDE_NO_RESULT
