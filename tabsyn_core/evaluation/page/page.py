"""One self-contained HTML page, for one synthetic table or several side by side."""

import json
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation.page import words
from tabsyn_core.evaluation.page.charts import scripts, specifications
from tabsyn_core.evaluation.page.comparison import compare, has_chemistry
from tabsyn_core.evaluation.page.content import DIMENSIONS, Report
from tabsyn_core.evaluation.page.payload import payload
from tabsyn_core.files import atomic_path

_HERE = Path(__file__).parent


def write_page(path: Path, reports: Mapping[str, Report]) -> None:
    """Write the page; equal reports give equal bytes.

    Args:
        path: The HTML file. It needs no network and no other file.
        reports: What is said of each synthetic table, by the table's name. Several are compared at the top, and one of
            them is shown at a time.

    Raises:
        TabsynError: There is no report, or the file cannot be written.
    """
    if not reports:
        raise TabsynError("there is no report to write; give at least one.")
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        name: getattr(words, name)
        for name in (
            *("excess", "number", "share", "count", "p_equals", "p_value", "printed", "finding"),
            *("model_name", "score_name", "headline_scores"),
        )
    } | {"image": _image}
    page = environment.get_template("template.html.j2").render(
        reports=[_shown(place, name, report) for place, (name, report) in enumerate(reports.items())],
        comparison=compare(reports),
        style=_text("style.css"),
        script=_text("script.js"),
        vega=scripts(),
        data=_json({"specifications": specifications(), "reports": [payload(each) for each in reports.values()]}),
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _shown(place: int, name: str, report: Report) -> dict[str, Any]:
    """A report as the template wants it; ``id`` goes before the name of each of its anchors."""
    return {
        "id": "" if place == 0 else f"t{place + 1}-",
        "name": name,
        "report": report,
        "leads": words.leads(report),
        "dimensions": [each for each in DIMENSIONS if each != "chemistry" or has_chemistry(report)],
        "molecules": words.molecules_lead(report),
        "lights": {line.dimension: line.light for line in report.verdict},
    }


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _json(content: Any) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _image(svg: str) -> str:
    """A drawing as a data URI, which keeps its names and its scripts to itself."""
    return "data:image/svg+xml;base64," + b64encode(svg.encode()).decode("ascii")
