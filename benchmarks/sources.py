"""Which code decides a result: the modules that a module imports, and theirs, told from their text.

A cell is run again when code that made it has changed, and only then: a new head of ours is nothing to a rival.
"""

import ast
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from real_tables import ROOT, meaning

_ROOTS = (ROOT, Path(__file__).parent)
_FOLLOWED = ("tabsyn_core",)  # and the scripts beside this one

Import = tuple[str, str | None]
"""A module, and the name that is taken from it; None for the module itself."""


def digest_of(modules: Sequence[str]) -> str:
    """A digest of what these modules and all that they import do: comments, docstrings and layout do not count."""
    digest = hashlib.sha256()
    for file in used_by(modules):
        digest.update(f"{file.relative_to(ROOT)}\n{_meaning(file)}\n".encode())
    return digest.hexdigest()


def used_by(modules: Sequence[str]) -> list[Path]:
    """The files of these modules and of what they import, at once or when called, not only to check types.

    Of a package that hands on names, only the modules behind the names that are asked for count.
    """
    found, waiting = set[tuple[Path, str | None]](), [_place(module, None) for module in modules]
    while waiting:
        file, name = waiting.pop()
        if file is None or (file, name) in found:
            continue
        found.add((file, name))
        imports = _imports(file)
        handed_on = [each for each in imports if file.name == "__init__.py" and name is not None and each[1] == name]
        waiting += [_place(*each) for each in handed_on or imports]
    return sorted({file for file, _ in found})


def _place(module: str, name: str | None) -> tuple[Path | None, str | None]:
    """The file of an import, None where it is none of ours; the name counts where a package hands it on."""
    inside = _file(f"{module}.{name}") if name else None
    file = inside or _file(module)
    return file, name if file is not inside and file is not None and file.name == "__init__.py" else None


@cache
def _file(module: str) -> Path | None:
    parts = module.split(".")
    for root in _ROOTS:
        stem = root.joinpath(*parts)
        for file in (stem.with_suffix(".py"), stem / "__init__.py"):
            if (parts[0] in _FOLLOWED or root != ROOT) and file.exists():
                return file
    return None


@cache
def _imports(file: Path) -> list[Import]:
    return [*_imports_in(ast.parse(file.read_text(encoding="utf-8")))]


def _imports_in(node: ast.AST) -> Iterator[Import]:
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    if isinstance(node, ast.ImportFrom) and node.module:
        yield from ((node.module, alias.name) for alias in node.names)
    elif isinstance(node, ast.Import):
        yield from ((alias.name, None) for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from _imports_in(child)


@cache
def _meaning(file: Path) -> str:
    return meaning(file)
