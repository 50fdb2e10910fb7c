"""Your own images, a folder a class, below the folder that SPG_FOLDER names (docs/own_data.md)."""

from __future__ import annotations

from spg.data.layouts.image_folder import read_annotations
from spg.data.layouts.spec import DatasetSpec, Sizes
from spg.project.errors import UserError
from spg.project.schema.kinds import Strict


class Source(Strict):
    """Nothing to choose: what the folder holds says what is known."""


def sizes(_: Source) -> Sizes:
    """Refuse: nobody knows how many images there are before they are packed.

    Raises:
        UserError: with the commands that pack them.
    """
    raise UserError(
        "how many images a folder of your own has is known once they are packed; run "
        "`dvc repro prepare` first"
    )


SPEC = DatasetSpec(source=Source, read=read_annotations, sizes=sizes)
