"""Our splits in wsolevaluation's format."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from spg.cli import main
from spg.data.images.manifest import SCHEMA, boxes_of, read_manifest, write_manifest
from spg.data.layouts.wsol_metadata import WsolImage, read_metadata, write_metadata
from spg.project.errors import UserError
from spg.project.params import parse_params
from spg.project.workspace import Workspace
from spg.tools.export_metadata import _corners, export_metadata

NAME = "synthetic_birds"


@pytest.fixture(scope="module")
def manifest(tiny_workspace):
    return read_manifest(tiny_workspace.packed(NAME) / "manifest.parquet")


@pytest.mark.parametrize(
    ("split", "folder"), [("train_weaksup", "train"), ("train_fullsup", "val"), ("test", "test")]
)
def test_every_split_reads_back_as_it_was(
    tiny_workspace, tiny_params, manifest, tmp_path, split, folder
):
    export_metadata(tiny_workspace, tiny_params, NAME, tmp_path)
    images = read_metadata(tmp_path / folder)
    rows = manifest[manifest["split"] == split]
    assert [image.image_id for image in images] == rows["image_id"].tolist()
    assert [image.class_id for image in images] == rows["class_id"].tolist()
    for image, (_, row) in zip(images, rows.iterrows(), strict=True):
        width, height = image.size
        assert (width, height) == (row["width"], row["height"])
        want = np.minimum(boxes_of(row["boxes"]), [width, height, width - 1, height - 1])
        assert np.array_equal(np.array(image.boxes), want)


def test_boxes_of_ilsvrc_end_at_their_last_pixel(tiny_workspace, tiny_mapping, manifest, tmp_path):
    datasets = dict(tiny_mapping["datasets"])
    datasets[NAME] = {**datasets[NAME], "source": {"kind": "ilsvrc", "fullsup": "none"}}
    params = parse_params({**tiny_mapping, "datasets": datasets}, "")
    export_metadata(tiny_workspace, params, NAME, tmp_path)
    rows = manifest[manifest["split"] == "test"]
    for image, boxes in zip(read_metadata(tmp_path / "test"), rows["boxes"], strict=True):
        assert np.array_equal(np.array(image.boxes), boxes_of(boxes) - [0, 0, 1, 1])


def test_without_boxes_there_is_nothing_to_write(tiny_workspace, tiny_params, manifest, tmp_path):
    """Masks are not written, and `spg score` would find neither boxes nor masks."""
    workspace = Workspace(tmp_path)
    table = pq.read_table(tiny_workspace.packed(NAME) / "manifest.parquet").to_pandas()
    table["boxes"] = [[] for _ in range(len(table))]
    write_manifest(
        workspace.packed(NAME) / "manifest.parquet",
        pa.Table.from_pandas(table, SCHEMA, preserve_index=False),
    )
    with pytest.raises(UserError, match="no test image has a box, and masks are not written"):
        export_metadata(workspace, tiny_params, NAME, tmp_path / "words")
    assert not (tmp_path / "words").exists()


@pytest.mark.parametrize("last", [False, True])
@given(x=st.floats(0, 39.9), y=st.floats(0, 29.9), w=st.floats(0.01, 40), h=st.floats(0.01, 30))
def test_a_box_is_written_as_one_that_is_read(tmp_path_factory, last, x, y, w, h):
    box = [x, y, min(x + w, 40), min(y + h, 30)]
    x1, y1, x2, y2 = _corners(box, (40, 30), last)
    assert 0 <= x1 <= x2 <= 39
    assert 0 <= y1 <= y2 <= 29
    folder = tmp_path_factory.mktemp("split")
    write_metadata(folder, [WsolImage("a.jpg", 0, (40, 30), ((x1, y1, x2, y2),), (), None)])
    assert read_metadata(folder)[0].boxes == ((x1, y1, x2, y2),)


def test_the_command_writes_what_score_reads(tiny_workspace, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny_workspace.root)
    done = CliRunner().invoke(main, ["metadata", NAME, str(tmp_path / "metadata")])
    assert done.exit_code == 0, done.output
    assert len(read_metadata(tmp_path / "metadata/test")) == 9
