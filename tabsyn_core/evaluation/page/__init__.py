"""The report as one self-contained HTML page, made from plain data."""

from tabsyn_core.evaluation.page.content import Report
from tabsyn_core.evaluation.page.page import write_page

__all__ = ["Report", "write_page"]
