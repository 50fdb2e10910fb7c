"""Thin entries of dvc.yaml's stages; `python` is whichever comes first: this finds the right one.

`.venv/bin/dvc repro` without an activated environment starts stages with the system's Python, which
has none of the packages: they then run in .venv of the checkout, which `make setup` makes.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

if any(find_spec(name) is None for name in ("dvc", "torch", "safetensors", "tqdm")):
    folder = Path(os.environ.get("DVC_ROOT", ".")) / ".venv"
    own = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not own.exists() or Path(sys.prefix).resolve() == folder.resolve():
        sys.exit(f"error: {sys.executable} lacks spg's packages; run `make setup` and use .venv")
    os.execv(own, [str(own), *sys.orig_argv[1:]])
