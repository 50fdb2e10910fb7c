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
        if len(self.model_fields_set) != 1:
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
        UserError: when the file is wrong or has no entry for the method.
    """
    study = read_model(SearchParams, path)
    if method not in study.methods:
        raise UserError(
            f"{path}: methods has no {method!r}; there are {sorted(study.methods)}: add what is to "
            "be drawn for it"
        )
    space = {
        key.format(dataset=dataset, backbone=backbone): distribution
        for key, distribution in (study.common | study.methods[method]).items()
    }
    if not space:
        raise UserError(f"{path}: methods.{method}: nothing to draw, neither here nor in `common`")
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
        drawn[key] = float(f"{law.rvs(random_state=rng):.{DIGITS}g}")
    return drawn


def _number(bound: Bound, drawn: Mapping[str, Any], key: str) -> float:
    if not isinstance(bound, str):
        return bound
    if bound not in drawn:
        raise UserError(
            f"search/params.yaml: {key}: its bound {bound!r} is not a key that is drawn before it"
        )
    return float(drawn[bound])
