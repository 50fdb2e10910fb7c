"""CUB-200-2011 from its published addresses (docs/sources.md 7).

The two archives are kept in the folder that SPG_CUB_ARCHIVES names, or in data/archives/<dataset>:
one that lies there already is verified and used, a missing one is loaded. SPG_CUB_URL names a
mirror's folder; what it serves has to be the published bytes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from spg.data.fetch.download import Remote, download
from spg.data.fetch.unpack import Limits, unpack
from spg.data.layouts.cub import TABLES, read_annotations
from spg.data.layouts.fullsup import Source, copy_fullsup
from spg.project.files import whole_folder
from spg.project.workspace import Workspace

ARCHIVES = (
    Remote(
        "CUB_200_2011.tgz",
        "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz?download=1",
        1_150_585_339,
        "97eceeb196236b17998738112f37df78",
    ),
    Remote(
        "segmentations.tgz",
        "https://data.caltech.edu/records/w9d68-gec53/files/segmentations.tgz?download=1",
        39_272_883,
        "4d47ba1228eae64f2fa547c47bc65255",
    ),
)
LIMITS = Limits(bytes=8 << 30, members=100_000)  # several times what the archives hold
KEPT = ("images", "segmentations", "part_segmentations")


def fetch(
    workspace: Workspace,
    dataset: str,
    source: Source,
    *,
    archives: Sequence[Remote] = ARCHIVES,
) -> None:
    """Download, verify and unpack both archives into the raw folder of ``dataset``.

    Args:
        workspace: the project.
        dataset: entry of ``datasets``.
        source: its entry there.
        archives: the published files; tests have smaller ones.
    """
    named = os.environ.get("SPG_CUB_ARCHIVES")
    store = Path(named) if named else workspace.archives(dataset)
    mirror = os.environ.get("SPG_CUB_URL")
    if mirror:
        archives = [item._replace(url=f"{mirror.rstrip('/')}/{item.name}") for item in archives]
    files = [download(item, store) for item in archives]
    with whole_folder(workspace.raw(dataset)) as folder:
        for file in files:
            unpack(file, folder, LIMITS, _place)
        copy_fullsup(folder, "CUB", source.fullsup)
        read_annotations(folder)  # that the tables agree; the images are for `prepare` to check


def _place(name: str) -> str | None:
    """Return where a member goes: below no CUB_200_2011/, and only what the reader knows."""
    inside = name.removeprefix("CUB_200_2011/")
    wanted = inside.split("/")[0] in KEPT or inside.removesuffix(".txt") in TABLES
    return inside if wanted else None
