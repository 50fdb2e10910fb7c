"""Imagenette 2 from fast.ai's addresses, which ask for no login (docs/sources.md 7).

SPG_IMAGENETTE names a copy that is there already: the unpacked folder with ``train`` and ``val``,
of any size, which is copied, or the published archive, which is verified. Without
it the archive of ``source.size`` is loaded into data/archives/<dataset>. SPG_IMAGENETTE_URL names a
mirror's folder; what it serves has to be the published bytes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from spg.data.datasets.imagenette import Source
from spg.data.fetch.download import Remote, download, md5_of
from spg.data.fetch.unpack import Limits, unpack
from spg.data.layouts.imagenette import FOLDERS, NAMES, is_hidden, read_annotations
from spg.project.errors import UserError
from spg.project.files import whole_folder
from spg.project.workspace import Workspace

VARIABLE = "SPG_IMAGENETTE"
_HOME = "https://s3.amazonaws.com/fast-ai-imageclas"
ARCHIVES = {  # md5 as torchvision 0.29 has them; nobody publishes their bytes
    "full": Remote(
        "imagenette2.tgz", f"{_HOME}/imagenette2.tgz", None, "fe2fc210e6bb7c5664d602c3cd71e612"
    ),
    "320px": Remote(
        "imagenette2-320.tgz", f"{_HOME}/imagenette2-320.tgz", None,
        "3df6f0d01a2c9592104656642f5e78a3",
    ),
    "160px": Remote(
        "imagenette2-160.tgz", f"{_HOME}/imagenette2-160.tgz", None,
        "e793b78cc4c9e9a4ccc0c1155377a412",
    ),
}  # fmt: skip
LIMITS = Limits(bytes=8 << 30, members=100_000)  # several times what the archives hold


def fetch(
    workspace: Workspace,
    dataset: str,
    source: Source,
    *,
    archives: Mapping[str, Remote] = ARCHIVES,
) -> None:
    """Leave the photographs of the published archive, or of the user's copy, in the raw folder.

    Args:
        workspace: the project.
        dataset: entry of ``datasets``.
        source: its entry there.
        archives: the published files by size; tests have smaller ones.
    """
    remote = archives[source.size]
    mirror = os.environ.get("SPG_IMAGENETTE_URL")
    if mirror:
        remote = remote._replace(url=f"{mirror.rstrip('/')}/{remote.name}")
    own = _own_copy()
    if own is None:
        own = download(remote, workspace.archives(dataset))
    elif own.is_file():
        _check_archive(own, source.size, archives, f"datasets.{dataset}.source.size")
    else:
        read_annotations(own)  # what is wrong is said of the user's folder, before it is copied
    with whole_folder(workspace.raw(dataset)) as folder:
        if own.is_dir():
            _copy(own, folder)
        else:
            unpack(own, folder, LIMITS, _place)
        read_annotations(folder)


def _own_copy() -> Path | None:
    """Return what SPG_IMAGENETTE names.

    Raises:
        UserError: when that is neither a folder with train and val nor a file.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    path = Path(named)
    if path.is_file() or all((path / name).is_dir() for name in FOLDERS):
        return path
    raise UserError(
        f"{VARIABLE}: {path} is neither the archive nor a folder with {' and '.join(FOLDERS)}"
    )


def _check_archive(own: Path, size: str, archives: Mapping[str, Remote], key: str) -> None:
    """Raise what a file is, where it is not the archive of ``size``."""
    found = md5_of(own)
    named = next((name for name, remote in archives.items() if remote.md5 == found), None)
    if named is None:
        raise UserError(
            f"{own} has md5 {found} instead of {archives[size].md5}; {VARIABLE} names the "
            "published archive, or an unpacked folder"
        )
    if named != size:
        raise UserError(f"{own} is the archive of {named}, and {key} asks for {size}; change one")


def _copy(own: Path, folder: Path) -> None:
    for file in sorted(own.glob("*/*/*.JPEG")):
        name = file.relative_to(own)
        if _wanted(name.parts):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / name)


def _place(name: str) -> str | None:
    """Return where a member goes: below no imagenette2-320/, and only what the reader knows."""
    parts = PurePosixPath(name).parts[1:]
    return "/".join(parts) if _wanted(parts) and name.endswith(".JPEG") else None


def _wanted(parts: tuple[str, ...]) -> bool:
    known = len(parts) == 3 and parts[0] in FOLDERS and parts[1] in NAMES
    return known and not is_hidden(parts[2])
