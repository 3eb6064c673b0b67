"""The JSON schema of ``report.json``, made from the dataclasses and their docstrings.

``python -m tabsyn_core.evaluation.page.schema`` writes ``report.schema.json`` anew after a change of the content.
"""

import inspect
import json
import re
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tabsyn_core.evaluation.page import content
from tabsyn_core.evaluation.page.content import Report

SCHEMA = Path(__file__).with_name("report.schema.json")


def schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of :meth:`Report.to_json`, every field with its description.

    All fields are required there: a part that is absent is ``null`` or empty.
    """
    found = TypeAdapter(Report).json_schema(mode="serialization")
    for name, definition in {"Report": found, **found["$defs"]}.items():
        _describe(definition, getattr(content, name))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_short(found)}


def _describe(definition: dict[str, Any], described: type) -> None:
    summary, _, attributes = inspect.cleandoc(described.__doc__ or "").partition("\n\nAttributes:\n")
    words = dict(re.findall(r"^ {4}(\w+): (.+(?:\n {5,}.+)*)", attributes, re.MULTILINE))
    definition |= {"description": _one_line(summary), "additionalProperties": False}
    definition["required"] = list(definition["properties"])
    for name, field in definition["properties"].items():
        field.pop("default", None)
        field.pop("title", None)
        field["description"] = _one_line(words[name])


def _short(part: Any) -> Any:
    """``{"type": ["number", "null"]}`` in place of the list of alternatives pydantic writes."""
    if isinstance(part, list):
        return [_short(each) for each in part]
    if not isinstance(part, dict):
        return part
    options = part.get("anyOf", [])
    if options and all(set(option) == {"type"} for option in options):
        part = {"type": [option["type"] for option in options], **part}
        del part["anyOf"]
    return {name: _short(each) for name, each in part.items()}


def _one_line(text: str) -> str:
    return " ".join(text.replace("``", "").split())


def main() -> None:
    """Write the file."""
    SCHEMA.write_text(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
