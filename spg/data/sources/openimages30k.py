"""OpenImages30k, copied from the folder that SPG_WSOLEVALUATION names (docs/sources.md 7)."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from spg.data.datasets.openimages30k import Source
from spg.data.layouts.annotations import Annotation
from spg.data.layouts.fullsup import wsolevaluation
from spg.data.layouts.openimages import DATA, METADATA, SPLITS, read_splits
from spg.data.layouts.space import require_space
from spg.data.layouts.wsol_metadata import TABLES
from spg.project.files import whole_folder
from spg.project.workspace import Workspace

NAME = "OpenImages"


def fetch(workspace: Workspace, dataset: str, source: Source) -> None:
    """Copy metadata, images and masks into the raw folder of ``dataset``.

    A file that is not there is left to ``prepare``, which lists it with all others.

    Args:
        workspace: the project.
        dataset: entry of ``datasets``.
        source: its entry there.

    Raises:
        UserError: when the folder is not named, or its metadata cannot be read.
    """
    root = wsolevaluation("source.kind openimages30k")
    tables, own = root / METADATA / NAME, root / DATA / NAME
    named = sorted(set(_named(read_splits(tables))))
    present = [file for file in named if (own / file).is_file()]
    with whole_folder(workspace.raw(dataset)) as folder:
        size = sum((own / file).stat().st_size for file in present)
        require_space(workspace.raw(dataset), size, f"copying {len(present):,} images and masks")
        for split in SPLITS:
            (folder / METADATA / split).mkdir(parents=True)
            for table in TABLES:
                shutil.copyfile(tables / split / table, folder / METADATA / split / table)
        for file in tqdm(present, desc="copy images", unit="file"):
            (folder / DATA / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(own / file, folder / DATA / file)


def _named(items: Iterable[Annotation]) -> Iterator[Path]:
    """Yield every file of images and masks, below ``dataset/``."""
    for item in items:
        files = (item.file, item.object_mask, *item.more_masks, item.ignore_mask)
        yield from (Path(file).relative_to(DATA) for file in files if file)
