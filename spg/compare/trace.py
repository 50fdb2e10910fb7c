"""trace.json: what the numbers of a report came from, without clock, path or host.

Beside summary.json and the CSV files it says which bytes they have, which commit's code made them,
from which parameters, data and stem weights, on which kind of machine, with which packages: so a
number can be followed back by the files that git has alone (docs/artifact.md). The same code,
parameters and data give the same trace.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from spg.compare.selection import selection
from spg.data.images.manifest import read_manifest
from spg.data.results.provenance import read_provenance
from spg.project.files import read_json
from spg.project.fingerprint import fingerprint
from spg.project.params import Params, read_yaml
from spg.project.workspace import PROVENANCE, Cell, Workspace

TRACE = "trace.json"
_AFTER_TRAINING = (
    "localization", "sweep", "evaluation", "comparison", "external_classifier", "ensembles",
)  # fmt: skip
"""Sections of params.yaml that the stages after training read; a training records its own."""

_CELLS = ("protocol", "backbones", "methods", "own_methods", "guided", "ablations", "seeds",
          "ablation_seeds")  # fmt: skip
"""Keys of params.yaml that say which cells were compared."""


def trace(
    workspace: Workspace,
    params: Params,
    dataset: str,
    cells: Sequence[Cell],
    files: Iterable[Path],
    *,
    published: str | None,
) -> dict[str, Any]:
    """Return what trace.json holds.

    Args:
        workspace: the project.
        params: all parameters.
        dataset: whose report.
        cells: those that were compared.
        files: of the report, whose bytes are named.
        published: which of the paper's data sets it is (:meth:`spg.compare.paper.Paper.whole`).
    """
    mapping = params.model_dump(mode="json")
    read = [mapping[section] for section in _AFTER_TRAINING]
    records = [read_provenance(workspace.run(cell) / PROVENANCE) for cell in cells]
    inputs = [read_json(workspace.run(cell) / PROVENANCE).get("inputs", {}) for cell in cells]
    weights: dict[str, list[Any]] = {}
    for cell, own in zip(cells, inputs, strict=True):
        weights.setdefault(cell.backbone, []).append(own.get("stem_weights"))
    manifest = read_manifest(workspace.packed(dataset) / "manifest.parquet")
    rule = params.datasets[dataset].prepare
    return {
        "code": code_commit(workspace.root, params.plugins),
        "command": f"dvc repro, with dataset={dataset} in params.yaml",
        "dataset": {"name": dataset, "published": published},
        "evaluator": params.sweep.protocol,
        "normalization": params.sweep.normalization,
        "settings": {name: mapping[name] for name in _CELLS},
        "selected": f"at the map threshold {selection(manifest, params.evaluation.folds, rule)}",
        "parameters": fingerprint(
            json.dumps([*(record.params for record in records), *read], sort_keys=True)
        ),
        "data": {
            "manifest": fingerprint(workspace.packed(dataset) / "manifest.parquet"),
            "of_trainings": _distinct(own.get("manifest") for own in inputs),
        },
        "stem_weights": {backbone: _distinct(found) for backbone, found in weights.items()},
        "machine": _by_key(record.machine for record in records),
        "packages": _by_key(record.packages for record in records),
        "cells": len(cells),
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }


def code_commit(root: Path, plugins: str) -> str | None:
    """Return the last commit that changed the code of any stage up to ``compare``.

    That is the code which ``compare`` declares in dvc.yaml, of the stages before it too: so DVC
    runs it again, and the trace names another commit, after every edit of theirs, even where no
    number changed. A later commit that changes no such code has the same results and the same
    trace.

    Args:
        root: of the project.
        plugins: folder of the user's own plug-ins, as params.yaml names it.

    Returns:
        its hash, with ``+`` behind it where files have been changed since; ``None`` where the
        folder is no Git checkout, or a shallow clone, whose history does not say, and where the
        plug-ins lie outside of it.
    """
    if not (root / "dvc.yaml").exists() or _git(root, "rev-parse", "--show-cdup") != "":
        return None
    if _git(root, "rev-parse", "--is-shallow-repository") != "false":
        return None
    rooms = [*_rooms(root / "dvc.yaml"), *([plugins] if (root / plugins).exists() else [])]
    commit = _git(root, "log", "-1", "--format=%H", "--", *rooms)
    if not commit:
        return None
    return f"{commit}{'+' if _git(root, 'status', '--porcelain', '--', *rooms) else ''}"


def trace_facts(trace_file: Path) -> dict[str, Any]:
    """Return what the page shows of a trace.json: all of it but the files' hashes."""
    return {name: value for name, value in read_json(trace_file).items() if name != "files"}


def _rooms(dvc_file: Path) -> list[str]:
    """Return the folders and files of code that ``compare`` declares."""
    deps = read_yaml(dvc_file)["stages"]["compare"]["deps"]
    return [dep for dep in deps if dep.startswith(("spg/", "stages/"))]


def _git(root: Path, *words: str) -> str | None:
    """Return what git prints, or ``None`` where there is no git, or no repository."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=root, capture_output=True, text=True, encoding="utf-8", check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _distinct(values: Iterable[Any]) -> Any:
    """Return the value that all have, or the list of those that some have."""
    found = list(dict.fromkeys(values))
    return found[0] if len(found) == 1 else found


def _by_key(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return for each key what all records say, or the different things that they say."""
    records = list(records)
    keys = dict.fromkeys(key for record in records for key in record)
    return {key: _distinct(record.get(key) for record in records) for key in keys}
