"""dvc.yaml says the truth: what a stage imports and reads, it declares."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
STUDY = yaml.safe_load((ROOT / "effects/dvc.yaml").read_text(encoding="utf-8"))["stages"]
EVERY = STAGES | {name: stage["do"] for name, stage in STUDY.items()}
BACKBONES = sorted((ROOT / "spg/networks/backbones").glob("[a-z]*.py"))
# What a stage loads by name: any of these files may take the place of the template, and the stage
# declares what any of them imports.
PLUGINS = {
    "spg/networks/backbones/${cell.backbone}.py": BACKBONES,
    "spg/networks/backbones/${item.backbone}.py": BACKBONES,
    "spg/networks/classifiers/${item.classifier}.py": sorted(
        (ROOT / "spg/networks/classifiers").glob("[a-z]*.py")
    ),
    "spg/networks/methods/${item.method}.py": [
        path for path in (ROOT / "spg/networks/methods").glob("[a-z]*.py") if path.stem != "spg"
    ],
}
NO_TORCH = ["spg/evaluate/metrics", "spg/report", "spg/stats.py", "spg/significance.py",
            "spg/claims.py", "spg/compare.py", "spg/evaluate.py", "spg/sweep.py", "spg/paper.py",
            "spg/config.py"]  # fmt: skip


def module_file(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.exists()), None)


def imported_names(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            names |= {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def closure(path: Path, seen: set[Path] | None = None) -> set[Path]:
    """Every file of spg that importing ``path`` reaches, itself included."""
    seen = set() if seen is None else seen
    if path not in seen:
        seen.add(path)
        for name in imported_names(path):
            file = module_file(name) if name.split(".")[0] == "spg" else None
            if file:
                closure(file, seen)
    return seen


def has_code(path: Path) -> bool:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return any(not isinstance(node, ast.Expr) for node in body)


def declared_code(stage: dict) -> list[str]:
    return [dep for dep in stage["deps"] if dep.startswith(("spg", "stages"))]


def imported_code(stage: dict) -> set[Path]:
    """What the stage's script, its plug-ins and the files that it names by hand import."""
    files = [ROOT / re.search(r"stages/\w+\.py", stage["cmd"])[0]]
    reached = set()
    for dep in declared_code(stage):
        plugins = PLUGINS.get(dep, [])
        reached |= {file for plugin in plugins for file in closure(plugin) - {plugin}}
        if dep == "spg/data/sources":
            files += (ROOT / dep).glob("*.py")
        elif dep.startswith(("spg/networks/backbones/", "spg/networks/methods/")) and not plugins:
            files.append(ROOT / dep)
    return reached | {file for start in files for file in closure(start)}


@pytest.mark.parametrize("name", EVERY)
def test_a_stage_declares_exactly_the_modules_it_imports(name):
    stage = EVERY[name]
    declared = [dep for dep in declared_code(stage) if dep not in PLUGINS]
    needed = {str(p.relative_to(ROOT)) for p in imported_code(stage) if has_code(p)}
    folders = [dep for dep in declared if (ROOT / dep).is_dir()]
    inside = {p for p in needed if any(p.startswith(f"{folder}/") for folder in folders)}
    assert needed - inside == set(declared) - set(folders)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_runs_the_script_of_its_name_and_says_what_it_does(name):
    stage = STAGES[name]
    assert f"stages/{name.removesuffix('_guided')}.py" in stage["cmd"]
    assert stage["desc"]


def test_only_guided_cells_and_the_report_depend_on_guidance():
    readers = {name for name, stage in STAGES.items() if "guidance" in stage.get("params", [])}
    assert readers == {"train_guided", "report"}


def test_no_stage_before_evaluate_depends_on_the_thresholds_of_evaluation():
    readers = {name for name, stage in STAGES.items() if "evaluation" in stage.get("params", [])}
    assert readers == {"evaluate", "evaluate_guided", "compare", "report"}


@pytest.mark.parametrize("name", NO_TORCH)
def test_results_never_import_torch(name):
    path = ROOT / name
    for file in [path] if path.is_file() else path.glob("*.py"):
        for reached in closure(file):
            roots = {module.split(".")[0] for module in imported_names(reached)}
            assert not roots & {"torch", "torchvision"}, (file, reached)


def test_methods_and_extractors_do_not_know_each_other():
    methods = {ROOT / "spg/networks/methods", ROOT / "spg/localize/extractors"}
    for folder in methods:
        (other,) = methods - {folder}
        for file in folder.glob("*.py"):
            assert not any(other in reached.parents for reached in closure(file)), file


def test_nobody_imports_stages_or_the_command_line():
    for file in (ROOT / "spg").rglob("*.py"):
        if file.name in ("cli.py", "__main__.py"):
            continue
        assert not {name for name in imported_names(file) if name.startswith(("stages", "spg.cli"))}


def test_stages_are_thin():
    for script in (ROOT / "stages").glob("*.py"):
        assert len(script.read_text(encoding="utf-8").splitlines()) <= 30, script
