"""Your own images, copied from the folder that SPG_FOLDER names (docs/own_data.md)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tqdm import tqdm

from spg.data.datasets.folder import Source
from spg.data.layouts.image_folder import BOXES, MASKS, SPLITS, images_in, read_annotations
from spg.project.errors import UserError
from spg.project.files import whole_folder
from spg.project.workspace import Workspace

VARIABLE = "SPG_FOLDER"


def fetch(workspace: Workspace, dataset: str, source: Source) -> None:
    """Copy images, masks and tables into the raw folder of ``dataset``.

    Args:
        workspace: the project.
        dataset: entry of ``datasets``.
        source: its entry there.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        raise UserError(
            f"the environment variable {VARIABLE} is not set; it names the folder of your images "
            "(docs/own_data.md)"
        )
    own = Path(named)
    if not own.is_dir():
        raise UserError(f"{VARIABLE}: {own} is no folder")
    read_annotations(own)  # what is wrong is said of the user's folder, before it is copied
    tables = [name for name in (BOXES, SPLITS) if (own / name).exists()]
    masks = (own / MASKS).rglob("*.png")
    files = [*tables, *images_in(own), *sorted(str(path.relative_to(own)) for path in masks)]
    with whole_folder(workspace.raw(dataset)) as folder:
        for file in tqdm(files, desc="copy images", unit="file"):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(own / file, folder / file)
