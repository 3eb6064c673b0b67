"""The sections of the report: each asks the measures of one dimension and lays their answers out as plain data."""

from tabsyn_core.evaluation.sections.chemistry import chemistry_section
from tabsyn_core.evaluation.sections.columns import columns_section, mean_support_violations
from tabsyn_core.evaluation.sections.molecules import molecules_section
from tabsyn_core.evaluation.sections.parts import reading
from tabsyn_core.evaluation.sections.privacy import PrivacyFigures
from tabsyn_core.evaluation.sections.structure import pairs_section, whole_section
from tabsyn_core.evaluation.sections.utility import utility_section

__all__ = [
    "PrivacyFigures",
    "chemistry_section",
    "columns_section",
    "mean_support_violations",
    "molecules_section",
    "pairs_section",
    "reading",
    "utility_section",
    "whole_section",
]
