"""What the page's script draws from: the report's long parts, as few bytes as they need."""

import base64
from dataclasses import replace
from typing import Any

import numpy as np

from tabsyn_core.evaluation.page.content import Report
from tabsyn_core.evaluation.page.words import headline_scores, model_name

_UNDEFINED = -128
_TOLD = (
    *("statistic", "effect", "p", "p_adjusted", "rejected"),
    *("floor_effect", "floor_p_adjusted", "floor_rejected", "why"),
)


def payload(report: Report) -> dict[str, Any]:
    """The parts of a report that are drawn, rounded as :meth:`Report.to_json` rounds them.

    Returns:
        ``columns`` (records in the report's order), ``densities`` (by column), ``tests`` (of each column, with
        ``test_names``), ``correlations`` (see :func:`_matrix`), ``joints``, ``spectrum``, ``combinations``,
        ``clusters``, ``projections``, ``scores``, ``importance``, ``similarity`` and ``properties`` of molecules; what
        is absent is ``None`` or empty.
    """
    if report.utility:
        report = replace(report, utility=replace(report.utility, scores=headline_scores(report)))
    content = report.to_json()
    pairs, whole, use, made = (content[name] or {} for name in ("pairs", "whole", "utility", "molecules"))
    return {
        "columns": content["columns"],
        "densities": {each.pop("column"): each for each in content["densities"]},
        **_tests(content["hypotheses"]),
        "correlations": _correlations(pairs.get("correlations")),
        "joints": pairs.get("joints", []),
        "spectrum": pairs.get("spectrum"),
        "combinations": _columnar(pairs.get("combinations", [])),
        "clusters": whole.get("clusters", []),
        "projections": [_projection(each) for each in whole.get("projections", [])],
        "scores": [each | {"model": model_name(each["model"])} for each in use.get("scores", [])],
        "importance": use.get("importance", []),
        "similarity": made.get("similarity"),
        "properties": made.get("properties", []),
    }


def _tests(hypotheses: list[dict[str, Any]]) -> dict[str, Any]:
    """``test_names`` (records of ``test``, ``null``, ``effect_name``) and, by column, records that number them."""
    shared = ("test", "null", "effect_name")
    names: dict[tuple[str, ...], int] = {}
    found: dict[str, list[list[Any]]] = {}
    for each in hypotheses:
        place = names.setdefault(tuple(each[name] for name in shared), len(names))
        found.setdefault(each["column"], []).append([place, *(each[name] for name in _TOLD)])
    return {"test_names": [dict(zip(shared, name, strict=True)) for name in names], "tests": found}


def _correlations(found: dict[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {name: _matrix(found[name]) if found[name] else None for name in ("real", "synthetic", "held_out")} | {
        "columns": found["columns"]
    }


def _matrix(rows: list[list[float | None]]) -> str:
    """The upper triangle with the diagonal, row by row, in hundredths as signed bytes; -128 where undefined."""
    values = np.array(rows, dtype=np.float64)[np.triu_indices(len(rows))]
    hundredths = np.where(np.isnan(values), _UNDEFINED, np.round(100 * np.clip(np.nan_to_num(values), -1, 1)))
    return base64.b64encode(hundredths.astype(np.int8).tobytes()).decode("ascii")


def _projection(found: dict[str, Any]) -> dict[str, Any]:
    """Sources as one letter a dot, clusters as numbers into their names."""
    names = sorted(set(found["cluster"]), key=lambda name: (len(name), name))  # so that 10 follows 9
    places = {name: place for place, name in enumerate(names)}
    return found | {
        "source": "".join(name[0] for name in found["source"]),
        "clusters": names,
        "cluster": [places[name] for name in found["cluster"]],
    }


def _columnar(records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [each[name] for each in records] for name in records[0]} if records else {}
