import json
from dataclasses import asdict

import pytest

from tabsyn_core.config import AdversarialConfig, ChainConfig, DiffusionConfig, GeneratorConfig, VAEConfig
from tabsyn_core.errors import TabsynError
from tabsyn_core.private import PrivacyConfig


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_validation_share_that_leaves_nothing_is_refused(share):
    with pytest.raises(TabsynError, match=r"diffusion\.validation_share is .*at least 0 and less than 1"):
        DiffusionConfig(validation_share=share)


def test_a_negative_patience_is_refused():
    with pytest.raises(TabsynError, match=r"diffusion\.patience is -1"):
        DiffusionConfig(patience=-1)


@pytest.mark.parametrize(
    "config",
    [
        GeneratorConfig(),
        GeneratorConfig(diffusion=DiffusionConfig(validation_share=0.25, patience=0)),
        GeneratorConfig(chain=ChainConfig(core=None, min_leaf=9, smoothing=0.0), proposals=1, identities=False),
        GeneratorConfig(vae=VAEConfig(heads="family"), adversarial=AdversarialConfig(steps=2), front_end="gaussian"),
        GeneratorConfig(privacy=PrivacyConfig(epsilon=3.0)),
        GeneratorConfig.published(),
    ],
)
def test_settings_survive_json(config):
    assert GeneratorConfig.from_json(json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (ChainConfig, {"core": -1}, r"chain\.core is -1; it must be at least 0, or null"),
        (ChainConfig, {"min_leaf": 0}, r"chain\.min_leaf is 0"),
        (ChainConfig, {"smoothing": 1.1}, r"chain\.smoothing is 1\.1"),
        (GeneratorConfig, {"proposals": 0}, r"proposals is 0"),
        (GeneratorConfig, {"threads": 0}, r"threads is 0"),
        (GeneratorConfig, {"front_end": "famlies"}, r"front_end is 'famlies'; it must be one of families, "),
        (AdversarialConfig, {"steps": -1}, r"adversarial\.steps is -1"),
        (AdversarialConfig, {"ratio": 1.0}, r"adversarial\.ratio is 1\.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(section, values, message):
    with pytest.raises(TabsynError, match=message):
        section(**values)


def test_settings_of_format_1_draw_all_columns_by_diffusion_and_keep_every_row():
    content = asdict(GeneratorConfig())
    for later in ("chain", "proposals", "margins", "adversarial", "privacy", "front_end", "identities"):
        del content[later]
    config = GeneratorConfig.from_json(content)
    assert config.chain.core is None
    assert config.proposals == 1
    assert not config.margins
    assert config.privacy is None
    assert config.front_end == "families"


def test_settings_of_an_older_version_validate_nothing_as_it_did():
    content = asdict(GeneratorConfig())
    del content["diffusion"]["validation_share"], content["diffusion"]["patience"]
    assert GeneratorConfig.from_json(content).diffusion.validation_share == 0
