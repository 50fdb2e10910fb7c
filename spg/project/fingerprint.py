"""Short hashes that name unfinished work by what it depends on, so that nothing else resumes it.

A checkpoint may be continued by whoever computes the same thing: from equal parameters, equal data
and equal code of the stage. Where it is computed is no part of the name: a job that a cluster
starts again on another node, or with another number of processes, goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import spg


def fingerprint(*parts: str | bytes | Path) -> str:
    """Return a hash of texts, bytes and the contents of files, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part
        content = content.encode() if isinstance(content, str) else content
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:16]


def code_of(rooms: Iterable[str], *plugins: ModuleType) -> list[Path]:
    """Return the files of a stage's code: those of its rooms and of the plug-ins that it loads.

    Args:
        rooms: folders below the project's root, e.g. ``spg/train``, as dvc.yaml declares them.
        plugins: modules, or packages with all their files.
    """
    root = Path(spg.__file__).parents[1]
    files = [path for room in rooms for path in (root / room).rglob("*.py")]
    for plugin in plugins:
        file = Path(str(plugin.__file__))
        files += file.parent.rglob("*.py") if hasattr(plugin, "__path__") else [file]
    return sorted(files)
