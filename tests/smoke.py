"""Run every stage through DVC on tiny sizes, in a copy of the project; `make smoke` calls this."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tiny import tiny

from spg.project.params import read_yaml

ROOT = Path(__file__).parent.parent


def copy_project(target: Path) -> None:
    """Copy what git knows or would add, with tiny params and without recorded results."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and name != "dvc.lock" and not name.startswith("reports/"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    params = tiny(read_yaml(ROOT / "params.yaml")) | {"seeds": [0]}
    (target / "params.yaml").write_text(json.dumps(params, indent=2), encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=target, check=True)


def main() -> int:
    """Rebuild twice: the first run makes every result, the second finds nothing to do."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder)
        copy_project(target)
        environment = os.environ | {"PYTHONPATH": str(target)}  # the copy's code, not the installed
        subprocess.run(["dvc", "repro"], cwd=target, check=True, env=environment)
        reports = target / "reports/synthetic_birds"
        missing = [
            name
            for name in ("summary.json", "comparison.csv", "tables.md", "tables.tex",
                         "figures/contact_sheet.png", "results.ipynb", "data.html", "index.html")
            if not (reports / name).exists()
        ]  # fmt: skip
        again = subprocess.run(
            ["dvc", "repro"], cwd=target, check=True, capture_output=True, text=True,
            env=environment,
        )  # fmt: skip
    if missing or "up to date" not in again.stdout + again.stderr:
        sys.stderr.write(f"smoke failed: missing {missing}; second run said:\n{again.stdout}\n")
        return 1
    sys.stderr.write("smoke: every stage ran, and a second run found nothing to do\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
