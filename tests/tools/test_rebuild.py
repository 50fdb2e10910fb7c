"""`spg repro`: cells at once through DVC, against a DVC of the test's own that writes a diary."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import textwrap
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from spg.project.errors import UserError
from spg.project.workspace import Workspace
from spg.tools import rebuild
from spg.tools.slots import Slot

FAKE = textwrap.dedent(
    """
    import json, os, subprocess, sys, time
    words = [word for word in sys.argv[1:] if word != "--wait-for-lock"]
    if words[:2] == ["status", "--json"]:
        print(open("changed.json").read())
        sys.exit()
    name = words[-1].partition("@")[2] or words[-1]
    seen = {"words": words, "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), "start": time.time()}
    bad = open("bad.txt").read().split() if os.path.exists("bad.txt") else []
    time.sleep(0.2)
    if name in open("slow.txt").read().split():  # a stage is a process of its own
        subprocess.run([sys.executable, "-c", "import time; time.sleep(60)", __file__])
    with open("diary.txt", "a") as diary:
        diary.write(json.dumps(seen | {"end": time.time()}) + "\\n")
    if name in bad:
        sys.exit("error: runs/x: no such file; run it first\\nERROR: failed to reproduce")
    """
)


@pytest.fixture
def project(tmp_path, monkeypatch, tiny_params):
    (tmp_path / "fake.py").write_text(FAKE, encoding="utf-8")
    (tmp_path / "slow.txt").write_text("", encoding="utf-8")
    stages = [
        f"{stage}@{cell.dataset}-{cell.name}"
        for cell in tiny_params.cells("synthetic_birds")
        for stage in ("train", "train_guided", "train_ablation")
    ]
    (tmp_path / "changed.json").write_text(json.dumps({stage: [] for stage in stages}), "utf-8")
    monkeypatch.setattr(rebuild, "DVC", (sys.executable, str(tmp_path / "fake.py")))
    return Workspace(tmp_path)


def diary(project):
    return [json.loads(line) for line in (project.root / "diary.txt").read_text().splitlines()]


def test_what_cells_share_comes_first_and_the_rest_last(project, tiny_params):
    rebuild.rebuild(project, tiny_params, lambda _: [Slot({}), Slot({})])
    words = [entry["words"] for entry in diary(project)]
    assert words[0] == ["repro", "prepare", "weights"]
    assert words[-1] == ["repro"]
    cells = {tuple(one[2:]) for one in words[1:-1]}
    group = {"spg_plain": "", "spg": "_guided"}
    assert cells == {
        tuple(
            f"{stage}{group.get(cell.method, '_ablation')}@{cell.dataset}-{cell.name}"
            for stage in ("train", "localize", "sweep")
        )
        for cell in tiny_params.cells("synthetic_birds")
    }


def test_cells_that_are_up_to_date_are_left_alone(project, tiny_params):
    one = "sweep_guided@synthetic_birds-inception_v3-spg-1"
    (project.root / "changed.json").write_text(json.dumps({one: [], "report@x": []}), "utf-8")
    rebuild.rebuild(project, tiny_params, lambda _: [Slot({})])
    assert [entry["words"][-1] for entry in diary(project)] == ["weights", one, "repro"]


def test_no_more_cells_run_at_once_than_there_are_slots(project, tiny_params):
    """And each has its own slot's variables."""
    slots = [Slot({"CUDA_VISIBLE_DEVICES": str(n)}) for n in (0, 1)]
    rebuild.rebuild(project, tiny_params, lambda _: slots)
    cells = [entry for entry in diary(project) if "--single-item" in entry["words"]]
    assert {entry["gpu"] for entry in cells} == {"0", "1"}
    for gpu in "01":
        own = sorted((e["start"], e["end"]) for e in cells if e["gpu"] == gpu)
        assert all(end <= start + 1e-3 for (_, end), (start, _) in pairwise(own))


def test_a_cell_that_fails_stops_no_other_and_is_named(project, tiny_params, capsys):
    (project.root / "bad.txt").write_text("synthetic_birds-inception_v3-no_c-1", encoding="utf-8")
    with pytest.raises(UserError) as error:
        rebuild.rebuild(project, tiny_params, lambda _: [Slot({}), Slot({})])
    log = project.root / ".scratch/repro/inception_v3-no_c-1.log"
    cells = len(tiny_params.cells("synthetic_birds"))
    assert str(error.value) == (
        f"1 of {cells} cells failed: inception_v3-no_c-1; inception_v3-no_c-1: error: runs/x: no "
        f"such file; run it first ({log}); mend that, then run the same command again for the rest"
    )
    assert diary(project)[-1]["words"] != ["repro"]  # no report of half of the cells
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == cells
    assert (
        re.fullmatch(
            rf"{cells}/{cells} \S+ done in \d+ s; \d\.\d min so far, about 0\.0 left", lines[-1]
        )
        or "failed after" in lines[-1]
    )


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("phase", ["cells", "what they share"])
def test_an_interruption_ends_every_job(
    project, tiny_params, tmp_path_factory, phase, sent, status
):
    """Sent to the command alone, as `kill` does: no process of a stage is left."""
    names = [f"{c.dataset}-{c.name}" for c in tiny_params.cells("synthetic_birds")]
    slow = names if phase == "cells" else ["weights"]
    (project.root / "slow.txt").write_text(" ".join(slow), encoding="utf-8")
    script = tmp_path_factory.mktemp("script") / "run.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            from pathlib import Path
            sys.path.insert(0, {str(Path(__file__).parents[1])!r})
            from spg.project.ending import guarded
            from spg.project.params import parse_params, read_yaml
            from spg.project.workspace import Workspace
            from spg.tools import rebuild
            from spg.tools.slots import Slot
            from tiny import tiny
            root = Path({str(Path(__file__).parents[2])!r})
            params = parse_params(tiny(read_yaml(root / "params.yaml")), "tiny")
            rebuild.DVC = (sys.executable, {str(project.root / "fake.py")!r})
            used = [Slot({{}}), Slot({{}})]
            guarded(lambda: rebuild.rebuild(Workspace(Path.cwd()), params, lambda _: used))
            """
        ),
        encoding="utf-8",
    )
    child = subprocess.Popen(
        [sys.executable, str(script)], cwd=project.root, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip

    def jobs():
        words = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
        return sum(str(project.root / "fake.py") in line for line in words)

    logs, wanted = project.root / ".scratch/repro", 2 if phase == "cells" else 0
    until = time.monotonic() + 60
    while len(list(logs.glob("*.log"))) < wanted or jobs() < 2:  # DVC and a stage
        assert time.monotonic() < until
        time.sleep(0.05)
    time.sleep(0.5)
    child.send_signal(sent)
    assert child.wait(60) == status
    assert not jobs()
    assert "run the same command again to go on" in child.stderr.read()
