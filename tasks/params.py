"""``params.yaml`` as types: a misspelt key or a wrong type is an error that names the nearest valid one."""

import difflib
import json
from dataclasses import is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tabsyn_core.config import AdversarialConfig, ChainConfig, DiffusionConfig, FrontEnd, VAEConfig
from tabsyn_core.errors import TabsynError
from tabsyn_core.private.config import PrivacyConfig
from tabsyn_core.schema import Kind
from tabsyn_core.thresholds import Thresholds
from tasks.provenance import redact

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class ColumnParams(_Strict):
    """A column of the source that is modelled beside the descriptors."""

    name: str
    kind: Kind


class StandardizeParams(_Strict):
    """Which RDKit standardisation steps run, in this order."""

    cleanup: bool = True
    largest_fragment: bool = True
    neutralize: bool = True


class DataParams(_Strict):
    """Where the molecules come from and which columns matter."""

    source: str
    watch: str
    smiles_column: str = "smiles"
    id_column: str | None = None
    encoding: str = "utf-8"
    keep: tuple[ColumnParams, ...] = ()
    targets: tuple[ColumnParams, ...] = Field(min_length=1)
    standardize: StandardizeParams = StandardizeParams()
    max_smiles_length: Count = 400
    max_rejected_share: Share = 0.5

    @model_validator(mode="after")
    def _watch_follows_source(self) -> "DataParams":
        remote = self.source.startswith("tdc:") or "://" in self.source
        if not remote and self.watch != self.source:
            raise ValueError(f"watch must be {self.source}, like source, or DVC would not notice its edits")
        if remote and self.watch == self.source:
            raise ValueError("watch must be a local path when source is not one; data/raw will do")
        return self


class FeaturizeParams(_Strict):
    """How descriptors are computed."""

    workers: Annotated[int, Field(ge=0)] = 0


class SplitParams(_Strict):
    """How rows are held out."""

    holdout_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2


class ValidateParams(_Strict):
    """Thresholds of warning-level expectations."""

    max_missing_share: Share = 0.2


class DistributionParams(_Strict):
    """How each column's family is chosen."""

    criterion: Literal["heldout", "bic"] = "heldout"
    max_atoms: Annotated[int, Field(ge=0)] = 32


class TrainParams(_Strict):
    """Everything about the generator (:class:`tabsyn_core.config.GeneratorConfig`), and how its training is run."""

    num_updates: Count = 400
    threads: Count = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"
    front_end: FrontEnd = "families"
    identities: bool = True
    proposals: Count = 4
    margins: bool = True
    chain: ChainConfig = ChainConfig()
    vae: VAEConfig = VAEConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    adversarial: AdversarialConfig = AdversarialConfig()
    privacy: PrivacyConfig | None = None
    checkpoint_every: Count = 100
    time_limit_seconds: Annotated[float, Field(gt=0)] | None = None


class SampleParams(_Strict):
    """How many rows, which, and how carefully."""

    num_rows: Count = 1000
    where: dict[str, Any] | None = None
    balance: str | None = None
    num_steps: Count = 25
    chunk_size: Count = 1000


class RealizeParams(_Strict):
    """How many rows are backed by new molecules, and which (:class:`tabsyn_core.molecules.RealizerConfig`)."""

    num_rows: Annotated[int, Field(ge=0)] = 0
    where: dict[str, Any] | None = None
    share: Literal["molecules", "descriptors-only"] = "molecules"
    max_similarity: Annotated[float, Field(gt=0, le=1)] = 1.0
    min_steps: Count = 3
    max_steps: Count = 6
    apart: bool = True
    proposals: Count = 4
    endpoints: Literal["matched", "imputed"] = "matched"
    local_search: Annotated[int, Field(ge=0)] = 0
    effort: Count = 200


class EvaluateParams(_Strict):
    """How rows are judged."""

    c2st_folds: Annotated[int, Field(ge=2)] = 5
    thorough: bool = True
    thresholds: Thresholds = Thresholds()


class BenchmarkParams(_Strict):
    """Which rivals stand beside us on the leaderboard, on which tables, with how many seconds each.

    Without ``seconds`` each rival is trained as published.
    """

    tables: tuple[str, ...] = ("solubility",)
    methods: tuple[str, ...] = ("ours", "bootstrap", "factorised", "gaussian-copula")
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (0,)
    seconds: Annotated[float, Field(gt=0)] | None = 60.0


class GateParams(_Strict):
    """What a version must reach to become ``@champion``; figures are dotted paths into ``metrics.json``.

    ``max`` and ``min`` are limits; the other two are margins beside the present champion's figure: ``at_most`` for
    figures of which less is better, ``at_least`` for those of which more is better.
    """

    max: dict[str, float] = {}
    min: dict[str, float] = {}
    at_most_champion_plus: dict[str, float] = {}
    at_least_champion_minus: dict[str, float] = {}


class RegisterParams(_Strict):
    """The registered model and its promotion gate."""

    model_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    molecules: bool = False
    gate: GateParams = GateParams()


class Params(_Strict):
    """The whole of ``params.yaml``."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    data: DataParams
    featurize: FeaturizeParams = FeaturizeParams()
    split: SplitParams = SplitParams()
    validate_: ValidateParams = Field(default=ValidateParams(), alias="validate")
    distributions: DistributionParams = DistributionParams()
    train: TrainParams = TrainParams()
    sample: SampleParams = SampleParams()
    realize: RealizeParams = RealizeParams()
    evaluate: EvaluateParams = EvaluateParams()
    benchmark: BenchmarkParams = BenchmarkParams()
    register_: RegisterParams = Field(alias="register")

    @model_validator(mode="after")
    def _private_models_have_no_molecules(self) -> "Params":
        if self.train.privacy is not None and self.realize.num_rows:
            raise ValueError(
                "train.privacy does not cover molecules made of pieces of training molecules; set realize.num_rows to 0"
            )
        return self


def load_params(path: Path) -> Params:
    """Read and check ``params.yaml``.

    Raises:
        TabsynError: The file is absent, is not YAML, or a key or value is wrong; every fault is listed with its
            dotted key, and a misspelt key with the nearest valid one.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TabsynError(f"{path} does not exist; run from the project's root.") from error
    except UnicodeDecodeError as error:
        raise TabsynError(
            f"{path} is not UTF-8 (byte {error.start}: {error.reason}); save it in that encoding."
        ) from error
    except yaml.YAMLError as error:
        raise TabsynError(f"{path} is not valid YAML: {error}.") from error
    if not isinstance(content, dict):
        raise TabsynError(f"{path} must hold keys and values; it holds {type(content).__name__}.")
    try:
        # As JSON, because strictness there still lets a list be a tuple and a word be a member of an enumeration.
        return Params.model_validate_json(json.dumps(content, default=str), strict=True)
    except TabsynError as error:
        raise TabsynError(f"{path}: {error}") from error
    except ValidationError as error:
        faults = "\n".join(f"  {_explain(fault)}" for fault in error.errors())
        raise TabsynError(f"{path} has {error.error_count()} fault(s):\n{faults}") from None


def _explain(fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        valid = _keys_at(fault["loc"][:-1])
        nearest = difflib.get_close_matches(str(fault["loc"][-1]), valid, n=1, cutoff=0)
        return f"{key}: no such key; did you mean {'.'.join([*map(str, fault['loc'][:-1]), *nearest])}?"
    # A whole section is no help to the reader, and data.source in it may hold a password.
    shown = fault["type"] != "missing" and not isinstance(fault["input"], dict | BaseModel)
    found = f" (found {redact(repr(fault['input']))})" if shown else ""
    return f"{key}: {fault['msg'].removeprefix('Value error, ')}{found}"


def _keys_at(location: tuple[str | int, ...]) -> list[str]:
    """The valid keys of the section at ``location``."""
    model: Any = Params
    for part in location:
        if isinstance(part, str) and hasattr(model, "model_fields"):
            by_alias = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
            model = by_alias.get(part, model)
            model = next((arg for arg in getattr(model, "__args__", ()) if _has_keys(arg)), model)
    if hasattr(model, "model_fields"):
        return [field.alias or name for name, field in model.model_fields.items()]
    return [*getattr(model, "__dataclass_fields__", {})]


def _has_keys(annotation: Any) -> bool:
    return hasattr(annotation, "model_fields") or is_dataclass(annotation)
