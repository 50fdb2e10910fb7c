"""Wrong files for every reader, many of them: what is accepted, refused, and what is a bug.

python benchmarks/fuzz.py --inputs 2000 --seed 0
python benchmarks/fuzz.py --inputs 800 --only whole

Good files whose bytes are damaged, and whole files that mean something else: it is a bug too when
what is read of them is not what is true. Makes a tiny project first. A bug is shown with its
traceback and the number of the input, and ends the command with status 1. The process may take
4 GiB more than it has at the start.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from fuzzing import run_target, targets  # noqa: E402
from tiny import tiny  # noqa: E402
from whole.runs import CHECKS, run_whole  # noqa: E402

from spg.data.fetch.stage import fetch  # noqa: E402
from spg.data.prepare.stage import prepare  # noqa: E402
from spg.networks.weights.stage import make_weights  # noqa: E402
from spg.project.params import Params, parse_params, read_yaml  # noqa: E402
from spg.project.workspace import Cell, Workspace  # noqa: E402
from spg.tools.effect.rerun import run_cell  # noqa: E402

NAME, BACKBONE = "synthetic_birds", "inception_v3"
EXTRA_MEMORY = 4 << 30


def main() -> int:
    """Run all targets and print a table in Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=200, help="of each target")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--only", default="", help="targets whose name begins so")
    given = parser.parse_args()
    os.environ |= {"SPG_WORKERS": "0", "SPG_DEVICE": "cpu", "TQDM_DISABLE": "1"}
    torch.set_num_threads(1)
    bugs: list[str] = []
    print("| target | inputs | accepted | refused | bugs | seconds |\n| --- |" + " ---: |" * 5)
    with tempfile.TemporaryDirectory() as folder:
        finished, params = project(Path(folder) / "project")
        runs = {
            name: partial(run_target, target)
            for name, target in targets(finished, params, Path(folder) / "fuzz", ROOT).items()
        }
        mapping = read_yaml(ROOT / "params.yaml")
        for name, check in CHECKS.items():
            runs[name] = partial(run_whole, check, Path(folder) / "whole", mapping)
        limit_memory()
        for name in (name for name in runs if name.startswith(given.only)):
            start = time.perf_counter()
            outcome = runs[name](inputs=given.inputs, seed=f"{given.seed} {name}")
            seconds = time.perf_counter() - start
            print(
                f"| {name} | {given.inputs} | {outcome.accepted} | {outcome.refused} | "
                f"{len(outcome.bugs)} | {seconds:.1f} |",
                flush=True,
            )
            bugs += [f"{name}, input {bug}" for bug in outcome.bugs]
    for bug in bugs:
        print(f"\n{bug}")
    return int(bool(bugs))


def project(root: Path) -> tuple[Workspace, Params]:
    """Make a tiny project with one finished cell."""
    root.mkdir()
    shutil.copy(ROOT / "paper.yaml", root)
    params = parse_params(tiny(read_yaml(ROOT / "params.yaml")), "tiny params")
    workspace = Workspace(root)
    fetch(workspace, params, NAME)
    prepare(workspace, params, NAME)
    make_weights(workspace, params, NAME, BACKBONE)
    run_cell(workspace, params, Cell(NAME, BACKBONE, "spg", 0))
    return workspace, params


def limit_memory() -> None:
    """Let a blow-up be a MemoryError, which counts as a bug."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    limit = pages * resource.getpagesize() + EXTRA_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    sys.exit(main())
