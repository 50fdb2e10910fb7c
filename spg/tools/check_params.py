"""Every section of params.yaml against whoever reads it, before hours are spent on the first stage.

A stage reads the sections that it needs: a mistake in that of a method shows when its training
starts. This reads all of them at once; `spg doctor` calls it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from spg.data.layouts.spec import read_source
from spg.project.errors import UserError
from spg.project.params import Params, describe_finding, validated
from spg.project.plugins import find_plugin


def check_params(params: Params) -> None:
    """Check what :class:`spg.project.params.Params` leaves to others: sources, methods, readings.

    Raises:
        UserError: one sentence that names the key.
    """
    for name, dataset in params.datasets.items():
        read_source(name, dataset.source)
    for kind, names in (
        ("measure", params.sweep.measures),
        ("extractor", [one for row in _extractors(params) for one in row]),
        ("backbone", params.backbones),
    ):
        for name in names:
            find_plugin(kind, name)
    read = {
        method: find_plugin("method", params.method_module(method)).Settings
        for method in params.localization.extractors
    }
    for name, reading in params.protocols.items():
        for method in reading.methods.keys() & read.keys():
            own, path = reading.methods[method], f"protocols.{name}.methods.{method}"
            _check_reading(read[method], params.section_of(method), own, path)
    _check_complete(params)
    for method, settings in read.items():
        validated(settings, params.section_of(method), method)


def _extractors(params: Params) -> Iterator[list[str]]:
    yield from params.localization.extractors.values()
    for dataset in params.datasets.values():
        yield from dataset.extractors.values()


def _check_reading(
    settings: type[BaseModel], section: Mapping[str, Any], own: Mapping[str, Any], path: str
) -> None:
    """Refuse what a reading says of a method, were it chosen: ``own`` in place of the section's."""
    try:
        settings.model_validate({**section, **own})
    except ValidationError as error:
        for finding in error.errors():
            if finding["loc"] and str(finding["loc"][0]) in own:
                raise UserError(f"params.yaml: {describe_finding(finding, path)}") from None


def _check_complete(params: Params) -> None:
    """Refuse a reading that lacks a disputed key of a method which another reading has."""
    named = {
        (method, key)
        for reading in params.protocols.values()
        for method, section in reading.methods.items()
        for key in section
    }
    for name, reading in params.protocols.items():
        path = f"params.yaml: protocols.{name}.methods"
        for method, key in sorted(named):
            if method not in params.localization.extractors:
                raise UserError(f"{path}.{method}: localization.extractors has no such method")
            if method not in reading.methods:
                raise UserError(f"{path}.{method}: this key is missing")
            if key not in reading.methods[method]:
                raise UserError(f"{path}.{method}.{key}: this key is missing")
