"""docs/slurm.sh: each task makes its own cell, and too few or no tasks are said."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CELLS = [f"{group}@birds-net-m-{seed}"
         for group in ("localize", "localize_guided", "localize_ablation")
         for seed in range(2)]  # fmt: skip
LAST = len(CELLS) - 1
STUB = """#!/bin/sh
case "$1 $2" in
  "cache dir") [ "$3" = --local ] || echo /cache ;;
  "stage list") printf '%s\\n' fetch@birds {names} evaluate@birds ;;
  "repro "*) echo "$2" >> {made} ;;
esac
"""


@pytest.fixture
def submit(tmp_path):
    """A function that runs one task of the script, with a `dvc` that writes down its targets."""
    main, tools, made = tmp_path / "main", tmp_path / "bin", tmp_path / "made"
    main.mkdir()
    tools.mkdir()
    (main / ".dvc").mkdir()
    (main / ".dvc/.keep").touch()
    commit = ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "all"]
    for words in (["init", "-q"], ["add", "-A"], commit):
        subprocess.run(["git", *words], cwd=main, check=True)
    names = " ".join(CELLS + [name.replace("localize", "sweep") for name in CELLS])
    (tools / "dvc").write_text(STUB.format(names=names, made=made), encoding="utf-8")
    (tools / "dvc").chmod(0o755)

    def run(task, last=LAST, **more):
        environment = os.environ | {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "SLURM_SUBMIT_DIR": str(main),
            "SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_MAX": str(last),
            "SLURM_ARRAY_JOB_ID": "7", **more,
        }  # fmt: skip
        done = subprocess.run(
            ["bash", str(ROOT / "docs/slurm.sh")], env=environment, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        return done.returncode, made.read_text().split() if made.exists() else [], done.stderr

    return run


@pytest.mark.parametrize("stage", ["localize", "sweep"])
def test_the_tasks_make_every_cell_of_every_group_once(submit, stage):
    for task in range(len(CELLS)):
        status, made, said = submit(task, SPG_STAGE=stage)
        assert status == 0, said
    assert made == [name.replace("localize", stage) for name in CELLS]


def test_too_few_tasks_are_said_and_not_taken_for_all(submit):
    status, made, said = submit(0, last=3)
    assert (status, made) == (1, [])
    assert said == "there are 6 cells: submit with --array=0-5\n"


@pytest.mark.parametrize(("word", "value"), [("SPG_CELLS", "nothing"), ("SPG_STAGE", "localise")])
def test_no_cell_at_all_is_no_success(submit, word, value):
    status, made, said = submit(0, **{word: value})
    assert (status, made) == (1, [])
    assert "no cell of stage" in said
    assert value in said


def test_the_array_of_the_script_fits_the_default():
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    many = len(params["methods"]) + len(params["guided"])
    count = many * len(params["seeds"]) + len(params["ablations"]) * len(params["ablation_seeds"])
    script = (ROOT / "docs/slurm.sh").read_text(encoding="utf-8")
    assert f"#SBATCH --array=0-{count - 1}%" in script
