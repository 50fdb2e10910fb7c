"""search/params.yaml: a distribution for each key of params.yaml, and what a trial draws of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import scipy.stats
from pydantic import Field, model_validator

from spg.project.errors import UserError
from spg.project.params import read_model
from spg.project.schema.kinds import Name, Seed, Strict

DIGITS = 4
"""Significant ones of a drawn number: what params.yaml then says is what was tried."""

JUDGES = frozenset({
    "comparison", "dataset", "evaluation", "extractors", "localization", "prepare", "protocol",
    "seeds", "source", "sweep",
})  # fmt: skip
"""Keys and sections of params.yaml that no trial may change."""

Bound = float | str
"""A number, or a key that is drawn before."""
Bounds = Annotated[list[Bound], Field(min_length=2, max_length=2)]


class Distribution(Strict):
    """One of the three."""

    uniform: Bounds | None = None
    """Any number between two bounds is as likely."""
    log_uniform: Bounds | None = None
    """Any order of magnitude between two positive bounds is as likely."""
    choice: Annotated[list[Any], Field(min_length=1)] | None = None
    """Each of some values is as likely."""

    @model_validator(mode="after")
    def _is_one(self) -> Distribution:
        if sum(given is not None for given in (self.uniform, self.log_uniform, self.choice)) != 1:
            raise ValueError(f"give one of {', '.join(type(self).model_fields)}")
        return self


Space = dict[str, Distribution]
"""By key of params.yaml, in the order of the draws."""


class SearchParams(Strict):
    """All of search/params.yaml."""

    seed: Seed
    common: Space
    methods: dict[Name, Space]


def read_space(path: Path, *, dataset: str, backbone: str, method: str) -> tuple[int, Space]:
    """Return the seed of the draws and what is drawn for a method.

    Raises:
        UserError: when the file is wrong, has no entry for the method, or draws a key that changes
            what trials are judged by.
    """

    def named(text: Bound) -> Bound:
        if not isinstance(text, str):
            return text
        return text.replace("{dataset}", dataset).replace("{backbone}", backbone)

    study = read_model(SearchParams, path)
    if method not in study.methods:
        raise UserError(
            f"{path}: methods has no {method!r}; there are {sorted(study.methods)}: add what is to "
            "be drawn for it"
        )
    space = {}
    for key, law in (study.common | study.methods[method]).items():
        bounds = {
            name: [named(bound) for bound in of]
            for name, of in (("uniform", law.uniform), ("log_uniform", law.log_uniform))
            if of is not None
        }
        space[str(named(key))] = law.model_copy(update=bounds)
    if not space:
        raise UserError(f"{path}: methods.{method}: nothing to draw, neither here nor in `common`")
    for key in space:
        if any(part in JUDGES for part in key.split(".")):
            raise UserError(
                f"{path}: {key}: it changes what trials are judged by, so that they could not be "
                "compared; set it in params.yaml"
            )
    return study.seed, space


def draw(space: Space, *, seed: int, trial: int) -> dict[str, Any]:
    """Return a value for each key, the same for the same seed and trial however many there are.

    Args:
        space: in the order of the draws.
        seed: of all draws.
        trial: which of them, from 0.

    Raises:
        UserError: when a bound is a key that is not drawn before, or two bounds are out of order.
    """
    rng = np.random.default_rng([seed, trial])
    drawn: dict[str, Any] = {}
    for key, distribution in space.items():
        if distribution.choice is not None:
            drawn[key] = distribution.choice[int(rng.integers(len(distribution.choice)))]
            continue
        of_magnitudes = distribution.log_uniform is not None
        bounds = distribution.log_uniform or distribution.uniform or []
        low, high = (_number(bound, drawn, key) for bound in bounds)
        if not low < high or (of_magnitudes and low <= 0):
            wanted = "0 < low < high" if of_magnitudes else "low < high"
            raise UserError(f"search/params.yaml: {key}: [{low}, {high}] is not {wanted}")
        law = (
            scipy.stats.loguniform(low, high)
            if of_magnitudes
            else scipy.stats.uniform(low, high - low)
        )
        value = float(law.rvs(random_state=rng))
        short = float(f"{value:.{DIGITS}g}")
        drawn[key] = short if low < short < high else value
    return drawn


def _number(bound: Bound, drawn: Mapping[str, Any], key: str) -> float:
    if not isinstance(bound, str):
        return bound
    if bound not in drawn:
        raise UserError(
            f"search/params.yaml: {key}: its bound {bound!r} is not a key that is drawn before it"
        )
    if not isinstance(drawn[bound], (int, float)):
        raise UserError(
            f"search/params.yaml: {key}: its bound {bound!r} was drawn as {drawn[bound]!r}, which "
            "is no number"
        )
    return float(drawn[bound])
