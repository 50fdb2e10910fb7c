"""What DVC really runs after an edit, in a tiny copy of the project that was made once."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from smoke import copy_project

from spg.project.files import write_json
from spg.project.params import read_yaml

pytestmark = pytest.mark.slow
TOYS = Path(__file__).parents[1] / "toys"


class Copy:
    """A checkout with tiny params, all of whose stages ran."""

    def __init__(self, root):
        self.root = root

    def dvc(self, *words, fails=False):
        """Run DVC on the copy's own code; what it and its stages print."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # stages: `python`
        environment = os.environ | {"PYTHONPATH": str(self.root), "PATH": path}
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *words], cwd=self.root, env=environment,
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode == 0) is not fails, done.stderr
        return done.stdout + done.stderr

    def git(self, *words):
        subprocess.run(["git", *words], cwd=self.root, check=True, capture_output=True)

    def changed(self):
        """The stages, of those that `dvc repro` runs, whose declared inputs have changed."""
        found = json.loads(self.dvc("status", "--json"))
        return {name for name in found if not name.startswith(("effects/", "telling/"))}

    def ran(self, said):
        return re.findall(r"Running stage '(\S+)'", said)

    def set(self, path, value):
        mapping = read_yaml(self.root / "params.yaml")
        node = mapping
        for key in path.split(".")[:-1]:
            node = node[key]
        node[path.split(".")[-1]] = value
        write_json(self.root / "params.yaml", mapping)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("dvc") / "project"
    root.mkdir()
    copy_project(root)
    copy = Copy(root)
    copy.set("methods", ["spg_plain", "acol"])
    copy.set("guided", ["spg"])
    copy.set("ablations", [])
    shutil.copy(TOYS / "one_layer.py", root / "plugins/methods/mine.py")
    copy.set("own_methods", ["mine"])
    copy.set("mine", {"sharpness": 2.0})
    copy.set("localization.extractors.mine", ["cam"])
    copy.dvc("repro")
    copy.git("config", "user.email", "a@b")
    copy.git("config", "user.name", "a")
    copy.git("add", "-A")
    copy.git("commit", "-qm", "made")
    return copy


@pytest.fixture
def copy(made):
    yield made
    made.git("checkout", "-q", ".")
    made.dvc("checkout", "-q")


def test_after_a_run_nothing_has_changed(copy):
    assert copy.changed() == set()
    assert not copy.ran(copy.dvc("repro"))


def test_what_a_run_leaves_lies_on_the_disk_once(copy):
    """Outputs are links to the cache after a run too, and not only after a checkout.

    Of files with the same bytes DVC links the first alone, e.g. the thresholds in sweep.json.
    """
    folders = ("data/raw", "data/packed", "weights", "runs", "maps", "sweep", "eval")
    copies, linked = {}, set()
    for folder in folders:
        files = [path for path in (copy.root / folder).rglob("*") if path.is_file()]
        assert files
        for path in files:
            content = path.read_bytes()
            if path.is_symlink() or path.stat().st_nlink > 1:
                linked.add(content)
            else:
                copies[path] = content
    assert not [path for path, content in copies.items() if content not in linked]
    assert sum(map(len, copies.values())) < 10_000


def test_a_methods_setting_dirties_its_own_cells_alone(copy):
    copy.set("acol.threshold", 0.6)
    cell = "synthetic_birds-inception_v3-acol-0"
    assert copy.changed() == {f"train@{cell}", f"localize@{cell}"}


def test_a_method_of_ones_own_reruns_as_ours_do(copy):
    """Its row is in the report; an edit of it, or of its section, reruns its own cells alone."""
    table = pd.read_csv(copy.root / "reports/synthetic_birds/comparison.csv")
    assert "mine" in set(table["method"])
    cell = "synthetic_birds-inception_v3-mine-0"
    path = copy.root / "plugins/methods/mine.py"
    path.write_text(path.read_text(encoding="utf-8") + "# a comment\n", encoding="utf-8")
    own = {f"train_own@{cell}", f"localize_own@{cell}"}
    assert copy.changed() == own | {"compare@synthetic_birds"}  # whose trace names the commit
    copy.git("checkout", "-q", ".")
    copy.set("mine.sharpness", 3.0)
    assert copy.changed() == own


def test_a_comment_in_the_reports_room_dirties_the_report_alone(copy):
    path = copy.root / "spg/report/tables.py"
    path.write_text(path.read_text(encoding="utf-8") + "# a comment\n", encoding="utf-8")
    assert copy.changed() == {"report@synthetic_birds"}


def test_an_evaluation_threshold_starts_three_processes(copy):
    said = copy.dvc("exp", "run", "-S", "evaluation.map_threshold=0.3")
    assert copy.ran(said) == [f"{n}@synthetic_birds" for n in ("evaluate", "compare", "report")]


def test_a_clone_without_outputs_says_what_the_readme_says(copy, tmp_path):
    """Into a folder with a blank in its name, as people have them."""
    clone = Copy(tmp_path / "my clone")
    copy.git("clone", "-q", ".", str(clone.root))
    assert "Data and pipelines are up to date" in clone.dvc("repro", "--dry", "--allow-missing")
    clone.set("evaluation.map_threshold", 0.3)
    said = clone.dvc("repro", "--dry", "--allow-missing", fails=True)
    assert "failed to reproduce 'evaluate@synthetic_birds'" in said
    clone.git("checkout", "-q", ".")
    assert "No remote provided and no default remote set" in clone.dvc("pull", fails=True)
    for stage in ("fetch", "prepare"):
        clone.dvc("repro", "-s", f"{stage}@synthetic_birds")
    assert f"{stage}@synthetic_birds" not in clone.changed()


def test_a_temporary_copy_runs_its_own_code(copy):
    """PYTHONPATH names the checkout, but `python -m` finds the package beside dvc.yaml first."""
    path = copy.root / "spg/data/fetch/stage.py"
    path.write_text(
        path.read_text(encoding="utf-8") + "print('the code of', __file__)\n", encoding="utf-8"
    )
    seed = "datasets.synthetic_birds.source.seed=8"
    said = copy.dvc("exp", "run", "--temp", "-S", seed, "fetch@synthetic_birds")
    assert "/.dvc/tmp/exps/" in re.search(r"the code of (\S+)", said)[1]
