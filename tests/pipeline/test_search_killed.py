"""`spg search` through DVC's queue: killed with its workers, it goes on to the same choice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from smoke import copy_project

from spg.project.params import read_yaml

pytestmark = pytest.mark.slow
TRIALS = 6
SECONDS = 900


def environment(root):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PYTHONPATH": str(root), "PATH": path}


def git(root, *words):
    subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny project with its data, committed."""
    root = tmp_path_factory.mktemp("search") / "project"
    root.mkdir()
    copy_project(root)
    subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "-q", "prepare", "weights"],
        cwd=root, env=environment(root), check=True,
    )  # fmt: skip
    git(root, "config", "user.email", "a@b")
    git(root, "config", "user.name", "a")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "made")
    return root


def search(root, log):
    words = ["search", "has", "--trials", str(TRIALS), "--jobs", "2"]
    return subprocess.Popen(
        [sys.executable, "-m", "spg", *words], cwd=root, env=environment(root),
        stdout=log.open("wb"), stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def result(root):
    chosen = read_yaml(root / "params.yaml")
    optimizer = chosen["datasets"]["synthetic_birds"]["backbones"]["inception_v3"]["train"]
    table = pd.read_csv(root / "reports/synthetic_birds/search/inception_v3-has.csv")
    return table, chosen["has"], optimizer["optimizer"]["stem_lr"]


def processes_of(root):
    """Everything that runs on the code of a project."""
    for process in psutil.process_iter():
        try:
            if process.environ().get("PYTHONPATH") == str(root):
                yield process
        except psutil.Error:
            continue


def test_killed_with_its_workers_it_goes_on_to_the_same_choice(made, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for root in (whole, cut):
        shutil.copytree(made, root)
    log = tmp_path / "log"
    assert search(whole, log).wait(SECONDS) == 0, log.read_text()
    first = search(cut, log)
    until = time.monotonic() + SECONDS
    while log.read_text().count("success") < 2:
        assert first.poll() is None, log.read_text()
        assert time.monotonic() < until
        time.sleep(0.5)
    os.killpg(first.pid, signal.SIGKILL)
    for process in processes_of(cut):
        process.kill()
    done = log.read_text().count("success")
    assert done < TRIALS
    assert search(cut, log).wait(SECONDS) == 0, log.read_text()
    want, got = result(whole), result(cut)
    pd.testing.assert_frame_equal(got[0], want[0])
    assert got[1:] == want[1:]
    assert sorted(want[0]["trial"]) == list(range(TRIALS))
    best = want[0].iloc[0]
    assert got[1]["hidden"] == pytest.approx(best["has.hidden"])
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "exp", "list", "--name-only"],
        cwd=cut, env=environment(cut), check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert len(listed.stdout.split()) == TRIALS
