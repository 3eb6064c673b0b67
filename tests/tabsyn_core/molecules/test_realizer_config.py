from dataclasses import asdict

import pytest

from tabsyn_core.errors import TabsynError
from tabsyn_core.molecules import RealizerConfig


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"min_steps": 0}, "realize.min_steps is 0; it must be a whole number of at least 1"),
        ({"max_steps": 2}, "realize.max_steps is 2; it must be a whole number of at least 3"),
        ({"proposals": 0}, "realize.proposals is 0"),
        ({"local_search": -1}, "realize.local_search is -1"),
        ({"workers": -1}, "realize.workers is -1"),
        ({"proposals": 8, "effort": 7}, "realize.effort is 7; it must be a whole number of at least 8"),
        ({"max_similarity": 0.0}, "realize.max_similarity is 0.0"),
        ({"max_similarity": 1.1}, "realize.max_similarity is 1.1"),
        ({"max_similarity": "0.8"}, "realize.max_similarity is '0.8'"),
        ({"share": "all"}, "realize.share is 'all'; it must be 'molecules' or 'descriptors-only'"),
        ({"endpoints": "none"}, "realize.endpoints is 'none'; it must be 'matched' or 'imputed'"),
    ],
)
def test_what_cannot_be_is_refused(setting, said):
    with pytest.raises(TabsynError, match=said):
        RealizerConfig(**setting)


def test_a_round_trip_through_json_changes_nothing():
    config = RealizerConfig(max_similarity=0.7, share="descriptors-only", apart=False)
    assert RealizerConfig.from_json(asdict(config)) == config
