"""Which code runs: that of the folder whose results it makes, or none.

dvc.lock says which files of a checkout made a result. An environment into which another checkout is
installed would run that one's files instead, and the lock would vouch for code that never ran.
Stages are therefore started as ``python -m stages.NAME``, which finds the package beside dvc.yaml
first. What is left are the parts that go by the installation, such as the `spg` command and its
versions: where that is another checkout's, a stage stops before it writes anything.
"""

from __future__ import annotations

import json
import os
from importlib.metadata import distributions
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import spg
from spg.project.errors import UserError


def check_checkout(root: Path) -> None:
    """Stop unless the code that runs, and the installation behind it, are those of ``root``.

    A copy that DVC makes of a checkout (``dvc exp run --temp``, ``--queue``) runs its own code; its
    installation is that of the checkout, which DVC names in DVC_ROOT. Whoever sets PYTHONPATH to
    the checkout has chosen its code for every command, and is not asked.

    Args:
        root: folder of params.yaml; where it holds no package spg, nothing is checked.

    Raises:
        UserError: names both folders and what to do.
    """
    if not (root / "spg/__init__.py").is_file():
        return
    running = Path(spg.__file__).resolve().parents[1]
    if running != root.resolve():
        raise UserError(_refusal(root, running))
    own = {root.resolve(), Path(os.environ.get("DVC_ROOT", root)).resolve()}
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if own & {Path(folder).resolve() for folder in named if folder}:
        return
    installed = installed_checkout()
    if installed is not None and installed not in own:
        raise UserError(_refusal(root, installed))


def installed_checkout() -> Path | None:
    """Return the checkout that is installed editable in this environment, if one is."""
    for found in distributions(name="spg"):
        origin = json.loads(found.read_text("direct_url.json") or "{}")
        if origin.get("dir_info", {}).get("editable"):
            return Path(url2pathname(urlparse(origin["url"]).path)).resolve()
    return None


def _refusal(root: Path, other: Path) -> str:
    return (
        f"{root}: this environment runs the code of {other}, another checkout; run `make setup` "
        f"here and use .venv of this folder, or set PYTHONPATH={root} to run this folder's code"
    )
