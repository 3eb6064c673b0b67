from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from tabsyn_core.config import GeneratorConfig
from tabsyn_core.errors import TabsynError
from tabsyn_core.private.config import PrivacyConfig
from tasks.gate import refusals
from tasks.params import load_params

OURS = Path("params.yaml").read_text(encoding="utf-8")


def load(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return load_params(path)


def test_the_committed_file_is_valid():
    params = load_params(Path("params.yaml"))
    assert [target.name for target in params.data.targets] == ["logS", "solubility_class"]


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("\nseed: 0", "\nsead: 0", r"sead: no such key; did you mean seed\?"),
        ("num_steps: 25", "num_step: 25", r"sample\.num_step: no such key; did you mean sample\.num_steps\?"),
        ("d_token: 1", "d_tokens: 1", r"train\.vae\.d_tokens: no such key; did you mean train\.vae\.d_token\?"),
        ("min_leaf: 5", "min_leafs: 5", r"train\.chain\.min_leafs: no such key; did you mean train\.chain\.min_leaf\?"),
        (
            "privacy: null",
            "privacy: {epsilo: 1.0}",
            r"train\.privacy\.epsilo: .*did you mean train\.privacy\.epsilon\?",
        ),
        ("privacy: null", "privacy: {epsilon: -1.0}", r"privacy\.epsilon is -1\.0; it must be more than 0"),
        ("smoothing: 0.5", "smoothing: 1.5", r"chain\.smoothing is 1\.5; it must lie between 0 and 1"),
        ("front_end: families ", "front_end: family ", r"train\.front_end: .*'families', 'families without atoms'"),
        ("where: null", "where: high", r"sample\.where: .*\(found 'high'\)"),
        ("num_rows: 1000", "num_rows: many", r"sample\.num_rows: .*integer.*\(found 'many'\)"),
        ("num_rows: 1000", 'num_rows: "1000"', r"sample\.num_rows: .*integer.*\(found '1000'\)"),
        ("num_rows: 1000", "num_rows: true", r"sample\.num_rows: .*integer.*\(found True\)"),
        ("cleanup: true", "cleanup: 'no'", r"data\.standardize\.cleanup: .*boolean"),
        ("num_heads: 1", "num_heads: 3", r"vae\.width is 16; it must be a multiple"),
        ("device: auto", "device: gpu", r"train\.device: .*'auto', 'cpu' or 'cuda'"),
        ("num_rows: 1000", "num_rows: 0", r"sample\.num_rows: .*greater than or equal to 1"),
        ("kind: numeric}", "kind: number}", r"data\.targets\.0\.kind: .*'numeric', 'integer' or 'categorical'"),
        ("  watch: data/raw/solubility.csv", "  watch: data/raw", r"watch must be data/raw/solubility\.csv"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_the_nearest_valid_one(tmp_path, right, wrong, message):
    assert right in OURS
    with pytest.raises(TabsynError, match=message):
        load(tmp_path, OURS.replace(right, wrong, 1))


def test_every_fault_is_told_at_once(tmp_path):
    with pytest.raises(TabsynError, match=r"2 fault\(s\)"):
        load(tmp_path, OURS.replace("num_steps: 25", "num_step: 25").replace("\nseed: 0", "\nseed: -1"))


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "not valid YAML"), ("- 1", "must hold keys"), ("", "must hold")]
)
def test_what_is_no_mapping_is_refused(tmp_path, text, message):
    with pytest.raises(TabsynError, match=message):
        load(tmp_path, text)


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(TabsynError, match="does not exist"):
        load_params(tmp_path / "params.yaml")


def test_a_remote_source_is_watched_through_a_local_path(tmp_path):
    remote = OURS.replace("source: data/raw/solubility.csv", "source: tdc:caco2_wang")
    assert load(tmp_path, remote.replace("watch: data/raw/solubility.csv", "watch: data/raw")).data.watch == "data/raw"
    with pytest.raises(TabsynError, match="watch must be a local path"):
        load(tmp_path, remote.replace("watch: data/raw/solubility.csv", "watch: tdc:caco2_wang"))


def test_no_fault_shows_the_password_of_the_source(tmp_path):
    secret = OURS.replace("source: data/raw/solubility.csv", "source: https://me:hunter2@example.org/a.csv")
    same = secret.replace("watch: data/raw/solubility.csv", "watch: https://me:hunter2@example.org/a.csv")
    absent = secret.replace("  watch: data/raw/solubility.csv", "  # no watch")
    for text, message in ((same, "watch must be a local path"), (absent, r"data\.watch: Field required")):
        with pytest.raises(TabsynError, match=message) as caught:
            load(tmp_path, text)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(TabsynError, match=r"data: .*\(found 'https://\*\*\*@example"):
        load(tmp_path, "data: https://me:hunter2@example.org/a.csv")


def test_a_file_that_is_not_utf8_is_said_to_be_so(tmp_path):
    (tmp_path / "params.yaml").write_bytes(OURS.replace("name: logS", "name: logS\xe9", 1).encode("latin-1"))
    with pytest.raises(TabsynError, match=r"params\.yaml is not UTF-8 \(byte \d+"):
        load_params(tmp_path / "params.yaml")


def test_the_committed_gate_can_refuse():
    gate = load_params(Path("params.yaml")).register_.gate
    assert gate.max
    assert list(refusals(gate, dict.fromkeys(gate.max, 1.0), None)) != []
    real = {"shape.mean_error": 0.038, "trend.mean_error": 0.029, "c2st.lightgbm": 0.64}
    assert list(refusals(gate, real, None)) == []


def test_what_the_file_says_of_the_generator_are_its_defaults():
    train = load_params(Path("params.yaml")).train
    default = GeneratorConfig()
    named = {field.name for field in fields(GeneratorConfig)}
    assert {name: getattr(train, name) for name in named} == {name: getattr(default, name) for name in named}


def test_privacy_and_conditions_are_read_as_they_are_written(tmp_path):
    text = OURS.replace("privacy: null", "privacy: {epsilon: 3.0}").replace("num_rows: 500", "num_rows: 0")
    private = load(tmp_path, text).train.privacy
    assert private == PrivacyConfig(epsilon=3.0)
    asked = load(tmp_path, OURS.replace("where: null", "where: {solubility_class: high, MolWt: [200, null]}"))
    assert asked.sample.where == {"solubility_class": "high", "MolWt": [200, None]}


def test_a_private_model_goes_without_molecules(tmp_path):
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["train"]["privacy"] = {"epsilon": 3.0, "delta": 1e-5}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(TabsynError, match=r"set realize\.num_rows to 0"):
        load_params(path)
    content["realize"]["num_rows"] = 0
    path.write_text(yaml.safe_dump(content))
    assert load_params(path).train.privacy is not None
