"""params.yaml as one model: names that exist, and a wrong key or value as one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from spg.project.errors import UserError
from spg.project.protocols import apply_protocol
from spg.project.schema import (
    AcolParams,
    CamParams,
    ComparisonParams,
    DatasetParams,
    EvaluationParams,
    ExecutionParams,
    GuidanceParams,
    HasParams,
    LocalizationParams,
    Name,
    PretrainingParams,
    ProtocolParams,
    ReportParams,
    Seed,
    SetupParams,
    SpgOverrides,
    SpgParams,
    Strict,
    SweepParams,
)


class Params(Strict):
    """All of params.yaml."""

    protocol: Name
    dataset: Name
    backbones: Annotated[list[Name], Field(min_length=1)]
    methods: Annotated[list[Name], Field(min_length=1)]
    guided: list[Name]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    external_classifier: list[Name]
    ensembles: dict[Name, Annotated[list[Name], Field(min_length=2)]]
    protocols: dict[Name, ProtocolParams]
    datasets: dict[Name, DatasetParams]
    spg: SpgParams
    cam: CamParams
    has: HasParams
    acol: AcolParams
    variants: dict[Name, SpgOverrides]
    guidance: GuidanceParams
    pretraining: PretrainingParams
    execution: ExecutionParams
    localization: LocalizationParams
    sweep: SweepParams
    evaluation: EvaluationParams
    comparison: ComparisonParams
    report: ReportParams

    @model_validator(mode="after")
    def _names_exist(self) -> Params:
        _require(self.dataset in self.datasets, "dataset", self.dataset, sorted(self.datasets))
        known = sorted(self.datasets[self.dataset].backbones)
        for name in self.backbones:
            _require(name in known, f"datasets.{self.dataset}.backbones lacks", name, known)
        for name in self.guided:
            _require(name in self.variants, "guided", name, sorted(self.variants))
        for name in self.all_methods:
            known = sorted(self.localization.extractors)
            _require(name in known, "localization.extractors lacks", name, known)
        steps = self.evaluation.map_threshold * (self.sweep.thresholds + 1)
        if abs(steps - round(steps)) > 1e-6:
            raise ValueError(
                f"evaluation.map_threshold: {self.evaluation.map_threshold} is not a multiple of "
                f"1 / {self.sweep.thresholds + 1}, the step of sweep.thresholds"
            )
        for name in self.ensembles:
            if name in self.external_classifier:
                raise ValueError(f"ensembles: {name!r} is the name of a classifier already")
        for key in ("backbones", "seeds", "all_methods", "external_classifier"):
            values = getattr(self, key)
            if len(set(values)) != len(values):
                raise ValueError(f"{key}: {values} names something twice")
        return self

    @property
    def all_methods(self) -> list[str]:
        """Every method of the grid, in the order of the tables."""
        return [*self.methods, *self.guided]

    def setup(self, dataset: str, backbone: str) -> SetupParams:
        """Return how ``backbone`` is trained on ``dataset``.

        Raises:
            UserError: when the data set has no entry for the backbone.
        """
        setups = self.datasets[dataset].backbones
        if backbone not in setups:
            raise UserError(
                f"params.yaml: datasets.{dataset}.backbones has no {backbone!r}; "
                f"there are {sorted(setups)}"
            )
        return setups[backbone]

    def method_module(self, method: str) -> str:
        """Return the file in spg/networks/methods that builds ``method``."""
        return "spg" if method in self.variants else method

    def spg_of(self, method: str) -> SpgParams:
        """Return ``spg`` with the changes that the variant ``method`` makes."""
        changes = self.variants[method].model_dump(exclude_none=True)
        return self.spg.model_copy(update=changes)


def load_params(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        UserError: one sentence that names the file and the key.
    """
    return parse_params(read_yaml(path), str(path.name))


def read_yaml(path: Path) -> Any:
    """Read a YAML file with DVC's own parser (YAML 1.2, duplicate keys refused)."""
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the command in the project's folder") from None
    except (YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:400]
        raise UserError(f"{path.name}: not readable as YAML: {reason}") from None


def parse_params(mapping: object, source: str) -> Params:
    """Check a mapping; ``source`` names the file in errors."""
    if isinstance(mapping, dict):
        _check_protocol(mapping, source)
        mapping = apply_protocol(mapping)
    try:
        return Params.model_validate(mapping)
    except ValidationError as error:
        raise UserError(f"{source}: {describe(error)}") from None


def describe(error: ValidationError) -> str:
    """Return the first of pydantic's findings as ``key.path: reason``, and how many follow."""
    first, *others = error.errors()
    # behind `source` pydantic names the kind, which is no level of the file
    path = ".".join(
        str(part)
        for before, part in zip((None, *first["loc"]), first["loc"], strict=False)
        if part != "[key]" and before != "source"
    )
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        reason = "no such key; remove it or correct its spelling"
    elif first["type"].startswith("union_tag"):
        path = f"{path}.kind"
        known = first["ctx"].get("expected_tags", "the kinds of source")
        given = isinstance(first["input"], dict) and "kind" in first["input"]
        reason = f"is not one of {known}" if given else "this key is missing"
    elif first["type"] == "missing":
        reason = "this key is missing"
    elif isinstance(first["input"], (int, float, str, bool)) and path:
        reason = f"{reason}, got {first['input']!r}"
    more = f" ({len(others)} more after this one)" if others else ""
    return f"{path}: {reason}{more}" if path else f"{reason}{more}"


def _check_protocol(mapping: dict[str, Any], source: str) -> None:
    """Name a wrong ``protocol`` itself, before the many nulls that it leaves."""
    name, known = mapping.get("protocol"), mapping.get("protocols")
    if isinstance(name, str) and isinstance(known, dict) and name not in known:
        raise UserError(f"{source}: protocol: {name!r} is not one of {sorted(known)}")


def _require(holds: bool, key: str, name: str, known: list[str]) -> None:
    if not holds:
        raise ValueError(f"{key}: {name!r} is not one of {known}")
