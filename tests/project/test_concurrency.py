"""Two commands at once: of one cell one is refused, of two cells both run, and nothing breaks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from victims import COMMANDS, FORKS, hashes, run

from spg.project.locks import BusyError, writing
from spg.project.parallel import in_order
from spg.project.workspace import Workspace

ROOT = Path(__file__).parents[2]


def together(root, *commands):
    """Run commands at the same time; return how each ended."""
    roots = [root.parent / f"{root.name}-{place}" for place in range(len(commands))]
    for one in roots:  # the same folder under names of its own, so that logs are apart
        one.symlink_to(root)
    ended = [None] * len(commands)

    def wait_for(place):
        ended[place] = run(roots[place], commands[place])

    threads = [threading.Thread(target=wait_for, args=(k,)) for k in range(len(commands))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ended


def test_two_trainings_of_a_cell_at_once_do_not_disturb_each_other(undisturbed, tmp_path):
    root = tmp_path / "project"
    undisturbed.copy_before("train", root)
    before, made = hashes(root), undisturbed.after["train"][1]
    ended = together(root, COMMANDS["train"], COMMANDS["train"])
    refused = [one for one in ended if one.status == 2]
    assert len(refused) == 1, [one.said for one in ended]
    assert refused[0].said.splitlines()[-1] == (
        "error: runs/synthetic_birds/inception_v3-spg-0: another command is writing it; wait until "
        "it has ended, or stop it"
    )
    assert sorted(one.status for one in ended) == [0, 2]
    assert hashes(root) == before | made


def test_two_cells_from_nothing_share_the_making_of_their_data(undisturbed, tmp_path):
    """One of them makes each input, the other one waits for it."""
    root = tmp_path / "project"
    undisturbed.copy_before("fetch", root)
    other = ["train", "--method", "spg_plain", "--seed", "1"]
    ended = together(root, COMMANDS["train"], other)
    assert [one.status for one in ended] == [0, 0], [one.said for one in ended]
    assert any("another command is making" in one.said for one in ended)
    found = hashes(root)
    made = {k: v for _, files in undisturbed.after.values() for k, v in files.items()}
    folders = ("data", "weights", "runs/synthetic_birds/inception_v3-spg-0/")
    shared = {k: v for k, v in made.items() if k.startswith(folders)}
    assert shared.items() <= found.items()
    assert "runs/synthetic_birds/inception_v3-spg_plain-1/model.safetensors" in found


@pytest.mark.parametrize(("name", "folder"), [("sweep", "sweep"), ("evaluate", "eval")])
def test_a_cell_is_not_measured_twice_at_once(undisturbed, tmp_path, name, folder):
    workspace = Workspace(tmp_path)
    undisturbed.copy_before(name, tmp_path)
    with writing(workspace, tmp_path / folder / "synthetic_birds/inception_v3-spg-0"):
        assert run(tmp_path, COMMANDS[name]).status == 2
    assert run(tmp_path, COMMANDS[name]).status == 0


def test_a_lock_ends_with_its_block_and_holds_one_output_alone(tmp_path):
    workspace = Workspace(tmp_path)
    target = tmp_path / "runs/a"
    with writing(workspace, target):
        with pytest.raises(BusyError, match=r"^runs/a: another command"):
            writing(workspace, target).__enter__()
        with writing(workspace, tmp_path / "runs/ab"), writing(workspace, tmp_path / "runs"):
            pass
    with pytest.raises(ValueError, match="broken"), writing(workspace, target):
        raise ValueError("broken")
    with writing(workspace, target):
        pass


def hold(root, ready):
    with writing(Workspace(root), root / "runs/a"):
        (root / "runs").mkdir()
        (root / "runs/.a.99.new.part").write_text("half")
        ready.set()
        time.sleep(60)


def test_a_lock_and_what_was_half_written_end_with_a_kill(tmp_path):
    ready = FORKS.Event()
    holder = FORKS.Process(target=hold, args=(tmp_path, ready))
    holder.start()
    assert ready.wait(60)
    with pytest.raises(BusyError):
        writing(Workspace(tmp_path), tmp_path / "runs/a").__enter__()
    holder.kill()
    holder.join()
    with writing(Workspace(tmp_path), tmp_path / "runs/a"):
        assert list((tmp_path / "runs").iterdir()) == []


# ---- Processes of a pool ----


def process_of(_task):
    return os.getpid()


POOL = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from test_concurrency import process_of
from spg.project.parallel import in_order
import itertools, time
if __name__ == "__main__":
    for pid in in_order(process_of, itertools.count(), workers=2):
        print(pid, flush=True)
        time.sleep(0.01)
"""


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_the_processes_of_a_killed_command_end_with_it(tmp_path):
    """A pool's processes wait for tasks, which nobody sends to those of a killed command."""
    script = tmp_path / "pool.py"
    script.write_text(POOL)
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    pids = {int(parent.stdout.readline()) for _ in range(20)}
    assert pids
    assert all(is_running(pid) for pid in pids)
    parent.kill()
    parent.wait()
    for _ in range(300):
        if not any(is_running(pid) for pid in pids):
            return
        time.sleep(0.1)
    pytest.fail(f"{pids} go on")


def test_a_pool_gives_results_in_order_and_ends():
    assert list(in_order(str, range(5), workers=2)) == ["0", "1", "2", "3", "4"]
