"""Arrows point one way: the science knows nothing of the pipeline, and steps nothing of what schedules them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ABOVE = {
    "tabsyn_core": {"tasks", "flows", "admet_tabsyn", "prefect", "dvc", "mlflow", "great_expectations"},
    "tasks": {"flows", "admet_tabsyn", "prefect"},
    "flows": {"admet_tabsyn"},
}


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("layer", ABOVE)
def test_a_layer_imports_nothing_from_above(layer: str) -> None:
    files = [*(ROOT / layer).rglob("*.py")]
    assert files
    found = {(file.name, name) for file in files for name in imported(file) if name.partition(".")[0] in ABOVE[layer]}
    assert not found
