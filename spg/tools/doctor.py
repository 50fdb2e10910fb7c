"""``spg doctor``: what this machine would compute with, and what of it would change results."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from packaging.requirements import InvalidRequirement, Requirement

from spg.data.inputs.batches import loading_workers
from spg.data.results.provenance import read_provenance
from spg.networks.compute.device import pick_device, resolve_precision, set_numbers
from spg.networks.compute.launch import wanted_processes
from spg.networks.compute.machine import machine_facts, package_versions, processor
from spg.project.errors import UserError, first_few
from spg.project.parallel import default_workers
from spg.project.params import load_params
from spg.project.portable import in_force
from spg.project.workspace import Workspace
from spg.tools.check_params import check_params
from spg.tools.family import EXPECTED, differing

LOCK = "requirements.lock"
PYTHONS = ((3, 10), (3, 13))
LITTLE_DISK = 5 << 30
"""Bytes; the default's results take about 1 GB where DVC's cache cannot link."""
X86_64 = ("x86_64", "AMD64")
LITTLE_MEMORY = 4 << 30
VARIABLES = (
    "SPG_DEVICE", "SPG_WORKERS", "SPG_NPROC", "SPG_CUB_ARCHIVES", "SPG_CUB_URL", "SPG_IMAGENETTE",
    "SPG_IMAGENETTE_URL", "SPG_ILSVRC_ROOT", "SPG_WSOLEVALUATION", "SPG_PSEUDO_BOXES", "SPG_FOLDER",
    "SPG_WEIGHTS", "SPG_DATASET", "TORCH_HOME", "OMP_NUM_THREADS", "GOMP_SPINCOUNT",
    "CUDA_VISIBLE_DEVICES", "NUMBA_CACHE_DIR",
)  # fmt: skip
IGNORED = ("processes", "precision")  # of a record: they belong to the run, not to the machine


class Diagnosis(NamedTuple):
    """What ``spg doctor`` found."""

    facts: dict[str, Any]
    """By section: machine, portable, packages, precision, variables, cache, disk, lock."""
    warnings: list[str]
    """Sentences: what would change results or stop a run, and what to do."""


def diagnose(workspace: Workspace) -> Diagnosis:
    """Look at the machine, the packages, the disk and the cells that lie in ``workspace``.

    Works in any folder, without a network, and changes nothing but for a file in the temporary
    folder that it removes again.
    """
    set_numbers(pick_device())  # as whatever computes does: the facts name its settings
    machine, packages = machine_facts(), package_versions()
    lock = workspace.root / LOCK
    places = _places(workspace)
    free = {name: shutil.disk_usage(path).free for name, path in places.items() if path.exists()}
    odd = differing() if platform.machine() in X86_64 else None
    facts = {
        "machine": {"python": platform.python_version(), "processor": processor()} | machine,
        "portable": {"in force": in_force(), "one of the family": _family(odd)},
        "packages": packages,
        "precision": {"auto": resolve_precision("auto", pick_device())},
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "cache": {"dvc": _version_or_none("dvc"), "folder": str(places.get("cache", "none"))},
        "disk": {"free_bytes": free, "memory_bytes": _memory()},
        "lock": {"file": LOCK if lock.exists() else "none here, so not checked"},
    }
    warnings = [
        *python_warnings(sys.version_info[:2]),
        *(lock_warnings(lock) if lock.exists() else ()),
        *record_warnings(workspace.root / "runs", machine, packages),
        *_params_warnings(workspace),
        *_setting_warnings(),
        *_space_warnings(places, free),
        *_family_warnings(odd),
    ]
    return Diagnosis(facts, warnings)


def python_warnings(running: tuple[int, int]) -> Iterator[str]:
    """Yield a warning where ``running`` is a Python that the project does not name."""
    if not PYTHONS[0] <= running <= PYTHONS[1]:
        first, last = (".".join(map(str, one)) for one in PYTHONS)
        yield f"Python {running[0]}.{running[1]} is outside {first} to {last}: use one of these"


def lock_warnings(lock: Path) -> Iterator[str]:
    """Yield a warning for each package that is not installed as the lock file has it.

    Lines whose marker is of another system or Python do not count.
    """
    for number, line in enumerate(lock.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            yield f"{lock.name}:{number}: {text!r} names no version: get the file anew"
            continue
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        found = _version_or_none(wanted.name)
        if found is None:
            yield f"{wanted.name} is not installed, but {lock.name} has it: run `make setup`"
        elif not wanted.specifier.contains(found, prereleases=True):
            yield (
                f"{wanted.name} {found} is installed, but {lock.name} has {wanted.specifier}: "
                "results may differ from the published ones; run `make setup`"
            )


def record_warnings(
    runs: Path, machine: Mapping[str, Any], packages: Mapping[str, str]
) -> Iterator[str]:
    """Yield a warning for each thing in which trained cells were made otherwise than now.

    Args:
        runs: folder of the cells.
        machine: of :func:`spg.networks.compute.machine.machine_facts`.
        packages: of :func:`spg.networks.compute.machine.package_versions`.
    """
    others: Counter[str] = Counter()
    for path in sorted(runs.glob("*/*/provenance.json")):
        try:
            record = read_provenance(path)
        except UserError:
            yield f"{path}: not readable as the record of a training: train that cell again"
            continue
        before = {**record.machine, **record.packages}
        now = {**machine, **packages}
        for key in before.keys() & now.keys() - set(IGNORED):
            if before[key] != now[key]:
                others[f"{key} {before[key]}, and here it is {now[key]}"] += 1
    for what, cells in sorted(others.items()):
        yield (
            f"{cells} cells in {runs.name}/ were trained with {what}: new ones differ from them in "
            "the last bits at least; `spg verify` says where"
        )


def as_text(found: Diagnosis) -> str:
    """Return the facts, a line each below their section, and the warnings."""
    lines = []
    for section, facts in found.facts.items():
        lines.append(section)
        lines += [f"  {name}: {_shown(value)}" for name, value in facts.items()]
    if not found.warnings:
        return "\n".join([*lines, "nothing found that would change results"])
    return "\n".join([*lines, *(f"warning: {warning}" for warning in found.warnings)])


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(inner)}" for name, inner in value.items())
    if isinstance(value, int) and value > 1 << 24:
        return f"{value / 2**30:.1f} GiB"
    return str(value)


def _version_or_none(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _places(workspace: Workspace) -> dict[str, Path]:
    """Return the folders that runs write to."""
    places = {"project": workspace.root, "temporary": Path(tempfile.gettempdir())}
    asked = subprocess.run(
        [sys.executable, "-m", "dvc", "cache", "dir"], cwd=workspace.root, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    cache = Path(asked.stdout.strip() or ".")
    if asked.returncode == 0 and cache.is_absolute():
        places["cache"] = cache
    return places


def _memory() -> int | None:
    """Return the machine's memory in bytes, where the system tells."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _params_warnings(workspace: Workspace) -> Iterator[str]:
    """Yield the first mistake of params.yaml, where the folder has one."""
    if workspace.params_file.exists():
        try:
            check_params(load_params(workspace.params_file))
        except UserError as error:
            yield str(error)


def _family(odd: list[str] | None) -> str:
    if odd is None:
        return "no x86-64 processor, so not asked"
    return f"no, {len(odd)} of {len(EXPECTED)} operations differ" if odd else "yes"


def _family_warnings(odd: list[str] | None) -> Iterator[str]:
    """Yield what a machine outside the family has to expect."""
    if odd:
        yield (
            f"{first_few(odd)}: computed otherwise than on other x86-64 processors with AVX2, in "
            "spite of `execution.portable`; results differ in the last bits at least"
        )


def _setting_warnings() -> Iterator[str]:
    for read in (default_workers, loading_workers, wanted_processes):
        try:
            read()
        except UserError as error:
            yield str(error)
    if torch.backends.cudnn.benchmark:
        yield "cuDNN chooses its algorithms by their time: results may differ from run to run"


def _space_warnings(places: Mapping[str, Path], free: Mapping[str, int]) -> Iterator[str]:
    for name, path in places.items():
        if name in free and free[name] < LITTLE_DISK:
            yield f"{path}: {free[name] / 2**30:.1f} GiB are free; `spg plan` says what a run needs"
        if path.exists() and not os.access(path, os.W_OK):
            yield f"{path}: cannot be written; make it writable or work in another folder"
    memory = _memory()
    if memory is not None and memory < LITTLE_MEMORY:
        yield f"{memory / 2**30:.1f} GiB of memory are little; lower batch_size and SPG_WORKERS"
