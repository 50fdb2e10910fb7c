"""dvc.yaml says the truth: a stage declares the rooms that it imports, and imports go one way."""

from __future__ import annotations

import ast
import copy
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

import spg.networks.weights.drawn
import spg.tools.effect.rerun
import spg.train.stage
from spg.project.plugins import SHELVES

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
STUDY = yaml.safe_load((ROOT / "effects/dvc.yaml").read_text(encoding="utf-8"))["stages"]
STEMS = yaml.safe_load((ROOT / "stems/dvc.yaml").read_text(encoding="utf-8"))["stages"]
TELLING = yaml.safe_load((ROOT / "telling/dvc.yaml").read_text(encoding="utf-8"))["stages"]
EVERY = STAGES | STUDY | STEMS | TELLING
GUIDED = "spg/networks/methods/spg"

# The rooms by floor: a room imports from lower floors alone. One within another is a room of its
# own; a file belongs to the innermost.
FLOORS = (
    ("spg/project", "spg/evaluate/metrics", "spg/compare/statistics"),
    ("spg/networks/compute", "spg/data/birds", "spg/data/images", "spg/data/results"),
    ("spg/data/layouts", "spg/data/inputs", "spg/evaluate/sweep"),
    ("spg/data/datasets", "spg/data/fetch", "spg/data/prepare", "spg/networks/parts",
     "spg/evaluate"),
    ("spg/data/sources", "spg/networks/backbones", "spg/networks/methods", "spg/networks/classify",
     "spg/train", "spg/localize", "spg/compare"),
    ("spg/networks/classifiers", "spg/networks/weights", "spg/report", "spg/tools/checkpoints",
     "spg/tools/scoring", "spg/tools/new"),
    ("spg/tools/effect",),
    ("spg/tools/telling", "spg/tools/normalizations"),
    ("spg/tools",),
    ("spg/tools/search",),
    ("spg/cli",),
)  # fmt: skip
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
CONTAINERS = {"spg", "spg/data", "spg/networks"}  # hold rooms, and no code of their own

# What the stages that take hours on real data declare with a room but do not import: it may not
# grow unnoticed, since an edit of it makes them run again for nothing.
UNUSED = {
    "prepare": {"spg/project/fingerprint.py"},
    "weights": {
        "spg/networks/compute/launch.py", "spg/networks/compute/machine.py",
        "spg/networks/parts/build.py", "spg/networks/parts/normalize.py",
        "spg/train/provenance.py", "spg/train/snapshots.py", "spg/train/stage.py",
    },
    "train": {"spg/networks/parts/published.py", "spg/project/parallel.py"},
    "train_guided": {"spg/networks/parts/published.py", "spg/project/parallel.py"},
    "localize": {
        "spg/networks/compute/machine.py", "spg/networks/parts/published.py",
        "spg/project/fingerprint.py", "spg/project/parallel.py",
    },
}  # fmt: skip
UNUSED["localize_guided"] = UNUSED["localize"]
HEADS = {  # what our methods are made of: one's own may be made of it too
    f"spg/networks/parts/{name}.py" for name in ("classifier", "heads", "losses", "normalize")
}
UNUSED |= {f"{name}_own": UNUSED[name] | HEADS for name in ("train", "localize")}
TORCH_FREE = ("spg/project", "spg/data/images", "spg/data/results", "spg/data/layouts",
              "spg/data/datasets", "spg/evaluate", "spg/compare", "spg/report")  # fmt: skip


def files_of(place: str) -> set[str]:
    """The Python files of a room, or a file itself, below the root; those without code left out."""
    path = ROOT / place
    found = path.rglob("*.py") if path.is_dir() else [path]
    return {str(file.relative_to(ROOT)) for file in found if has_code(file)}


@cache
def tree_of(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def has_code(path: Path) -> bool:
    body = tree_of(str(path.relative_to(ROOT))).body
    return any(not isinstance(node, ast.Expr) for node in body)


def room_of(file: str) -> str | None:
    inside = [room for room in FLOOR_OF if file.startswith(f"{room}/")]
    return max(inside, key=len, default=None)


def imported_names(file: str) -> set[str]:
    names = set()
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@cache
def imports(file: str) -> frozenset[str]:
    """The files of spg that a file imports, wherever in it."""
    found = set()
    for name in imported_names(file):
        path = Path(*name.split("."))
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if name.startswith("spg") and (ROOT / candidate).is_file():
                found.add(str(candidate))
    return frozenset(found - {file})


def closure(*starts: str) -> set[str]:
    """Every file that importing ``starts`` reaches, themselves included."""
    seen, waiting = set(), list(starts)
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += imports(file)
    return seen


def plugin_kinds(file: str) -> set[str]:
    """The kinds of plug-in that a file loads by name."""
    return {
        node.args[0].value
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "find_plugin"
        and isinstance(node.args[0], ast.Constant)
    }  # fmt: skip


def code_of(stage: dict) -> list[str]:
    return [dep for dep in stage["deps"] if dep.startswith(("spg", "stages"))]


def stands_for(dep: str) -> set[str]:
    """The files that a dep of dvc.yaml stands for; a template for any plug-in of its shelf."""
    if "${" not in dep:
        return files_of(dep)
    shelf = files_of(dep.rpartition("/")[0])
    return {file for file in shelf if not file.startswith(GUIDED)}


def reached(stage: dict) -> set[str]:
    """What the stage's script imports, and what any plug-in does that it may load.

    A stage names backbones, methods and classifiers itself; of the other kinds it may load all. An
    `_own` stage takes its method from the user's folder alone.
    """
    script = re.search(r"stages\.(\w+)", stage["cmd"])[1]
    files, loaded = closure(f"stages/{script}.py"), set()
    while kinds := {kind for file in files for kind in plugin_kinds(file)} - loaded:
        for kind in kinds:
            shelf = SHELVES[kind].replace(".", "/")
            if any(dep.startswith(f"${{plugins}}/{Path(shelf).name}/") for dep in stage["deps"]):
                continue
            named = [dep for dep in code_of(stage) if dep.startswith(f"{shelf}/")]
            plugins = set().union(*map(stands_for, named)) if named else files_of(shelf)
            files |= closure(*plugins)
        loaded |= kinds
    return {file for file in files if has_code(ROOT / file)}


def undeclared(stage: dict) -> set[str]:
    """Files that a stage imports and none of its deps stands for; spg/__init__.py is everyone's."""
    declared = set().union(*map(stands_for, code_of(stage)))
    return reached(stage) - declared - {"spg/__init__.py"}


def unreached(stage: dict) -> set[str]:
    """Deps of a stage of which it imports nothing."""
    found = reached(stage)
    return {dep for dep in code_of(stage) if not stands_for(dep) & found}


def upward(file: str, imported: frozenset[str]) -> set[str]:
    """What of ``imported`` a file may not import: of other rooms on its own floor or above."""
    room = room_of(file)
    others = {other for other in imported if room_of(other) not in (room, None)}
    return {other for other in others if FLOOR_OF[room_of(other)] >= FLOOR_OF[room]}


@pytest.mark.parametrize("name", EVERY)
def test_a_stage_declares_every_room_that_it_imports(name):
    assert not undeclared(EVERY[name])


@pytest.mark.parametrize("name", [name for name in EVERY if name != "compare"])
def test_a_stage_imports_every_room_that_it_declares(name):
    assert not unreached(EVERY[name])


def test_compare_declares_the_code_of_all_stages_before_it():
    """Its trace.json names the commit of that code: an edit that changes no number changes it."""
    before = [name for name in STAGES if name != "report"]
    code = set().union(*(stands_for(dep) for name in before for dep in code_of(STAGES[name])))
    assert set().union(*(stands_for(dep) for dep in code_of(STAGES["compare"]))) == code


@pytest.mark.parametrize("name", UNUSED)
def test_the_long_stages_declare_no_file_for_nothing_but_these(name):
    stage = STAGES[name]
    named = [dep for dep in code_of(stage) if "${" not in dep]
    unused = set().union(*map(files_of, named)) - reached(stage)
    assert unused == UNUSED[name]


def test_every_file_is_in_a_room():
    for file in files_of("spg"):
        place = str(Path(file).parent)
        assert room_of(file) or place in CONTAINERS, file
        if place in CONTAINERS - {"spg"}:
            pytest.fail(f"{file}: {place} holds rooms, not code")


def test_rooms_import_from_lower_floors_alone():
    wrong = {file: upward(file, imports(file)) for file in files_of("spg") if room_of(file)}
    assert not {file: found for file, found in wrong.items() if found}


def test_no_import_goes_round_in_a_circle():
    assert list(TopologicalSorter({f: imports(f) for f in files_of("spg")}).static_order())


def test_the_top_of_spg_is_a_dozen_entries():
    entries = {path.name for path in (ROOT / "spg").iterdir()} - {"__pycache__"}
    assert len(entries) <= 12, sorted(entries)


def test_nobody_imports_stages_or_the_command_line():
    for file in files_of("spg"):
        if room_of(file) != "spg/cli" and file != "spg/__main__.py":
            above = {
                name for name in imported_names(file) if name.startswith(("stages", "spg.cli"))
            }
            assert not above, file


@pytest.mark.parametrize("room", TORCH_FREE)
def test_results_never_import_torch(room):
    for file in closure(*files_of(room)):
        roots = {name.split(".")[0] for name in imported_names(file)}
        assert not roots & {"torch", "torchvision"}, file


# ---- The guards themselves: each is seen to fail ----


def changed(name, **deps):
    stage = copy.deepcopy(STAGES[name])
    stage["deps"] = [dep for dep in stage["deps"] if dep != deps.get("without")]
    stage["deps"] += [deps["extra"]] if "extra" in deps else []
    return stage


def test_a_room_that_is_not_declared_is_noticed():
    found = undeclared(changed("train", without="spg/data/inputs"))
    assert "spg/data/inputs/samples.py" in found


def test_a_plug_in_that_is_not_declared_is_noticed():
    """Not found by imports: it is loaded by its name."""
    assert undeclared(changed("prepare", without="spg/data/datasets"))
    assert undeclared(changed("train_guided", without=GUIDED))


@pytest.mark.parametrize("extra", ["spg/data/birds", "spg/report", "spg/networks/methods/cam.py"])
def test_a_room_that_is_not_reached_is_noticed(extra):
    assert unreached(changed("sweep", extra=extra)) == {extra}


@pytest.mark.parametrize(
    ("file", "imported"),
    [
        ("spg/evaluate/metrics/boxes.py", "spg/evaluate/per_image.py"),
        ("spg/train/loop.py", "spg/localize/maps.py"),
        ("spg/compare/claims.py", "spg/report/tables.py"),
    ],
)
def test_an_import_from_the_same_floor_or_above_is_noticed(file, imported):
    assert upward(file, frozenset({imported, file})) == {imported}


# ---- Stages ----


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_runs_the_code_beside_it_and_says_what_it_does(name):
    stage = STAGES[name]
    assert stage["cmd"].startswith(
        f"python -m stages.{re.sub('_(own|guided|ablation)$', '', name)} "
    )
    assert stage["desc"]


def test_the_map_can_be_read():
    assert len((ROOT / "dvc.yaml").read_text(encoding="utf-8").splitlines()) <= 420


@pytest.mark.parametrize(
    ("name", "rooms"),
    [
        ("train", spg.train.stage.ROOMS),
        ("train_guided", spg.train.stage.ROOMS),
        ("stem", spg.networks.weights.drawn.ROOMS),
    ],
)
def test_an_unfinished_training_belongs_to_the_rooms_of_its_stage(name, rooms):
    shelves = tuple(shelf.replace(".", "/") for shelf in SHELVES.values())
    declared = {dep for dep in code_of(EVERY[name]) if not dep.startswith(("stages", *shelves))}
    assert set(rooms) == declared


def test_a_rerun_of_a_cell_belongs_to_the_rooms_of_all_its_stages():
    stages = ("weights", "train", "localize", "sweep", "evaluate")
    declared = {room_of(f) for s in stages for d in code_of(STAGES[s]) for f in stands_for(d)}
    covered = {room for room in FLOOR_OF for own in spg.tools.effect.rerun.ROOMS
               if f"{room}/".startswith(f"{own}/")}  # fmt: skip
    assert declared - {None} == covered


def readers_of(section: str) -> set[str]:
    return {name for name, stage in STAGES.items() if section in stage.get("params", [])}


def test_only_guided_cells_and_the_report_depend_on_guidance():
    assert readers_of("guidance") == {"train_guided", "train_ablation", "report"}


def test_no_stage_before_evaluate_depends_on_the_thresholds_of_evaluation():
    assert readers_of("evaluation") == {"evaluate", "compare", "report"}


def test_a_changed_threshold_starts_three_processes_whatever_the_number_of_cells():
    axes = {name: STAGES[name]["matrix"].keys() for name in readers_of("evaluation")}
    assert all(axis == {"dataset"} for axis in axes.values())


@pytest.mark.parametrize("method", ["cam", "has", "acol", "spg_plain"])
def test_a_methods_section_is_read_by_its_own_cells_alone(method):
    """By name it stands nowhere: a stage has the section of its own method, whichever that is."""
    assert not readers_of(method)
    own = {"train_own", "localize_own"}
    assert readers_of("${item.method}") == {"train", "localize", *own}


def test_stages_are_thin():
    for script in (ROOT / "stages").glob("*.py"):
        assert len(script.read_text(encoding="utf-8").splitlines()) <= 30, script


def test_images_are_not_pushed_to_anyones_remote():
    """Most data sets may not be given away, and every machine can make them."""
    for name in ("fetch", "prepare"):
        assert [out[place]["push"] for out in STAGES[name]["outs"] for place in out] == [False]
