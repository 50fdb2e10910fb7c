"""params.yaml as one model: names that exist, and a wrong key or value as one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from spg.project.errors import UserError
from spg.project.plugins import use_folder
from spg.project.presets import apply_presets
from spg.project.schema.data import DatasetParams
from spg.project.schema.evaluation import (
    ComparisonParams,
    EvaluationParams,
    LocalizationParams,
    ReportParams,
    SweepParams,
)
from spg.project.schema.guidance import GuidanceParams, SpgOverrides, SpgParams
from spg.project.schema.kinds import Name, Seed, Strict
from spg.project.schema.presets import ProtocolParams
from spg.project.schema.training import ExecutionParams, PretrainingParams, SetupParams
from spg.project.workspace import Cell

Section = TypeVar("Section", bound=BaseModel)


class Params(Strict):
    """All of params.yaml."""

    protocol: Name
    dataset: Name
    backbones: Annotated[list[Name], Field(min_length=1)]
    methods: Annotated[list[Name], Field(min_length=1)]
    own_methods: list[Name]
    guided: list[Name]
    ablations: list[Name]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    ablation_seeds: Annotated[list[Seed], Field(min_length=1)]
    external_classifier: list[Name]
    ensembles: dict[Name, Annotated[list[Name], Field(min_length=2)]]
    plugins: Annotated[str, Field(pattern=r"^[\w./ -]+$")]
    """Folder of the user's own plug-ins, from that of params.yaml on."""
    protocols: dict[Name, ProtocolParams]
    datasets: dict[Name, DatasetParams]
    spg: SpgParams
    sections: dict[Name, dict[str, Any]]
    """Of params.yaml's top level, those that are named after a method; see `section_of`."""
    variants: dict[Name, SpgOverrides]
    guidance: GuidanceParams
    pretraining: PretrainingParams
    execution: ExecutionParams
    localization: LocalizationParams
    sweep: SweepParams
    evaluation: EvaluationParams
    comparison: ComparisonParams
    report: ReportParams

    @model_validator(mode="before")
    @classmethod
    def _gather_sections(cls, mapping: Any) -> Any:
        """Put the sections that are named after methods under ``sections``; SPG's are fields."""
        if not isinstance(mapping, dict) or "sections" in mapping:
            return mapping
        localization, guided = mapping.get("localization"), mapping.get("variants")
        methods = localization.get("extractors") if isinstance(localization, dict) else None
        if not isinstance(methods, dict) or not isinstance(guided, dict):
            return mapping | {"sections": {}}
        named = [name for name in methods if name not in guided and name not in cls.model_fields]
        for name in named:
            if name not in mapping:
                raise ValueError(f"{name}: this key is missing")
        rest = {name: section for name, section in mapping.items() if name not in named}
        return rest | {"sections": {name: mapping[name] for name in named}}

    @model_serializer(mode="wrap")
    def _spread_sections(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        mapping: dict[str, Any] = serialize(self)
        sections: dict[str, Any] = mapping.pop("sections")
        return mapping | sections

    @model_validator(mode="after")
    def _names_exist(self) -> Params:
        _require(self.dataset in self.datasets, "dataset", self.dataset, sorted(self.datasets))
        known = sorted(self.datasets[self.dataset].backbones)
        for name in self.backbones:
            _require(name in known, f"datasets.{self.dataset}.backbones lacks", name, known)
        for key in ("guided", "ablations"):
            for name in getattr(self, key):
                _require(name in self.variants, key, name, sorted(self.variants))
        for name in self.all_methods:
            known = sorted(self.localization.extractors)
            _require(name in known, "localization.extractors lacks", name, known)
        for name in self.ensembles:
            if name in self.external_classifier:
                raise ValueError(f"ensembles: {name!r} is the name of a classifier already")
        for key in (
            "backbones", "seeds", "ablation_seeds", "all_methods", "external_classifier",
        ):  # fmt: skip
            values = getattr(self, key)
            if len(set(values)) != len(values):
                raise ValueError(f"{key}: {values} names something twice")
        return self

    @model_validator(mode="after")
    def _extractors_are_of_methods(self) -> Params:
        known = sorted(self.localization.extractors)
        for dataset, own in self.datasets.items():
            for name in own.extractors:
                _require(name in known, f"datasets.{dataset}.extractors", name, known)
        return self

    @model_validator(mode="after")
    def _fixed_ones_are_measured(self) -> Params:
        evaluation, sweep = self.evaluation, self.sweep
        steps = evaluation.map_threshold * (sweep.thresholds + 1)
        if abs(steps - round(steps)) > 1e-6:
            raise ValueError(
                f"evaluation.map_threshold: {evaluation.map_threshold} is not a multiple of "
                f"1 / {sweep.thresholds + 1}, the step of sweep.thresholds"
            )
        if sweep.normalization == "ivr" and evaluation.percentile not in sweep.percentiles:
            raise ValueError(
                f"evaluation.percentile: {evaluation.percentile} is not one of "
                f"sweep.percentiles, {sweep.percentiles}"
            )
        return self

    @property
    def all_methods(self) -> list[str]:
        """Every method of the grid, in the order of the tables."""
        return [*self.methods, *self.own_methods, *self.guided, *self.ablations]

    def seeds_of(self, method: str) -> list[int]:
        """Return the seeds of a method's cells: ablations may have fewer than what they ablate."""
        return self.ablation_seeds if method in self.ablations else self.seeds

    def cells(self, dataset: str) -> list[Cell]:
        """Return every cell on ``dataset``, in the order of the tables."""
        return [
            Cell(dataset, backbone, method, seed)
            for backbone in self.backbones
            for method in self.all_methods
            for seed in self.seeds_of(method)
        ]

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

    def extractors_of(self, dataset: str, method: str) -> list[str]:
        """Return which maps are taken from ``method`` on ``dataset``."""
        own = self.datasets[dataset].extractors.get(method)
        return own or self.localization.extractors[method]

    def method_module(self, method: str) -> str:
        """Return the file in spg/networks/methods that builds ``method``."""
        return "spg" if method in self.variants else method

    def section_of(self, method: str) -> dict[str, Any]:
        """Return what params.yaml says to ``method``, for the ``Settings`` of its file to read.

        For a guided method that is ``spg`` with the changes of its variant, and ``guidance``.
        """
        if method in self.variants:
            return self.spg_of(method).model_dump() | {"guidance": self.guidance.model_dump()}
        return self.sections.get(method, {})

    def spg_of(self, method: str) -> SpgParams:
        """Return ``spg`` with the changes that the variant ``method`` makes."""
        changes = self.variants[method].model_dump(exclude_none=True)
        return self.spg.model_copy(update=changes)


def load_params(path: Path) -> Params:
    """Read and check params.yaml, and let plug-ins be found in the folder that it names.

    Raises:
        UserError: one sentence that names the file and the key.
    """
    params = parse_params(read_yaml(path), str(path.name))
    use_folder(path.parent / params.plugins)
    return params


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
        _check_named(mapping, source)
        mapping = apply_presets(mapping)
    try:
        return Params.model_validate(mapping)
    except ValidationError as error:
        raise UserError(f"{source}: {describe(error)}") from None


def read_model(model: type[Section], path: Path) -> Section:
    """Read a YAML file that is one strict model: paper.yaml, the params of a further pipeline.

    Raises:
        UserError: one sentence that names the file and the key.
    """
    try:
        return model.model_validate(read_yaml(path))
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error)}") from None


def validated(model: type[Section], section: Mapping[str, Any], path: str) -> Section:
    """Read one section of params.yaml by the class of whoever owns it.

    Args:
        model: a strict model.
        section: what params.yaml says.
        path: of the section, for errors, e.g. ``acol``.

    Raises:
        UserError: one sentence that names the key by its whole path.
    """
    try:
        return model.model_validate(section)
    except ValidationError as error:
        raise UserError(f"params.yaml: {describe(error, path)}") from None


def describe(error: ValidationError, below: str = "") -> str:
    """Return the first of pydantic's findings as ``key.path: reason``, and how many follow.

    An unknown key comes before a missing one beside it in a section, since it may be that one
    misspelt; at the top, sections may belong to whoever is missing.

    Args:
        error: what pydantic found.
        below: path of the section that was read; empty: the whole file.
    """
    found = error.errors()
    first, others = found[0], len(found) - 1
    beside = [
        one
        for one in found
        if one["type"] == "extra_forbidden" and one["loc"][:-1] == first["loc"][:-1]
    ]
    if first["type"] == "missing" and len(first["loc"]) > 1 and beside:
        first = beside[0]
    more = f" ({others} more after this one)" if others else ""
    return describe_finding(first, below) + more


def describe_finding(finding: ErrorDetails, below: str = "") -> str:
    """Return one of pydantic's findings as ``key.path: reason``; see :func:`describe`."""
    # what Params gathers under `sections` stands at the top of the file; "[...]" is pydantic's word
    # for a key, or for which of several schedules is meant
    parts = [
        str(part) for part in finding["loc"] if part != "sections" and not str(part).startswith("[")
    ]
    path = ".".join([below, *parts] if below else parts)
    reason = finding["msg"].removeprefix("Value error, ")
    if finding["type"] == "extra_forbidden":
        reason = "no such key; remove it or correct its spelling"
    elif finding["type"] == "missing":
        reason = "this key is missing"
    elif isinstance(finding["input"], (int, float, str, bool)) and path:
        reason = f"{reason}, got {finding['input']!r}"
    return f"{path}: {reason}" if path else reason


def _check_named(mapping: dict[str, Any], source: str) -> None:
    """Name a wrong ``protocol`` or ``recipe`` itself, before the many nulls that it leaves."""
    datasets = mapping.get("datasets")
    holders = {"protocol": (mapping, "protocols")}
    for dataset, own in datasets.items() if isinstance(datasets, dict) else ():
        holders[f"datasets.{dataset}.recipe"] = (own, "recipes")
    for path, (holder, presets) in holders.items():
        if not isinstance(holder, dict) or not isinstance(known := holder.get(presets), dict):
            continue
        name = holder.get(presets.removesuffix("s"))
        if isinstance(name, str) and name not in known:
            raise UserError(f"{source}: {path}: {name!r} is not one of {sorted(known)}")


def _require(holds: bool, key: str, name: str, known: list[str]) -> None:
    if not holds:
        raise ValueError(f"{key}: {name!r} is not one of {known}")
