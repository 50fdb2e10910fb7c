"""The record that a training leaves beside its model: whose cell it is and what made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from spg.project.errors import UserError
from spg.project.files import read_json
from spg.project.workspace import Cell


class Provenance(NamedTuple):
    """What a provenance.json says."""

    cell: Cell
    classes: list[str]
    """Names of the classes, in the order of the logits."""
    params: dict[str, Any]
    """What the training read of params.yaml, nulls filled in."""
    machine: dict[str, Any]
    packages: dict[str, str]
    imported: dict[str, Any]
    """Of a published checkpoint, what it was; empty for a trained cell."""


def read_provenance(path: Path) -> Provenance:
    """Read a provenance.json.

    Raises:
        UserError: when it is missing, damaged, or no record of a cell.
    """
    facts = read_json(path)
    try:
        found = Provenance(
            Cell(**facts["cell"]),
            list(facts["classes"]),
            dict(facts["params"]),
            dict(facts["machine"]),
            dict(facts["packages"]),
            dict(facts.get("imported", {})),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not the record of a trained cell ({error!r})") from None
    return found
