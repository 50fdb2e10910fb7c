"""A file that is cut short is named by whoever reads it, and nothing is made from it."""

from __future__ import annotations

import pytest
from victims import COMMANDS, hashes, run

from spg.data.results.tables import read_maps, read_table, read_tensors
from spg.project.errors import UserError
from spg.project.files import read_json

PACKED, CELL = "data/packed/synthetic_birds", "synthetic_birds/inception_v3-spg-0"
READ = [
    ("prepare", "data/raw/synthetic_birds/bounding_boxes.txt"),
    ("train", f"{PACKED}/manifest.parquet"),
    ("train", f"{PACKED}/shard-00001.arrow"),
    ("train", "weights/inception_v3.safetensors"),
    ("localize", f"{PACKED}/shard-00001.arrow"),
    ("localize", f"runs/{CELL}/model.safetensors"),
    ("sweep", f"maps/{CELL}/cam.npy"),
    ("sweep", f"maps/{CELL}/scores.parquet"),
    ("evaluate", f"maps/{CELL}/scores.parquet"),
    ("evaluate", f"sweep/{CELL}/sweep.parquet"),
    ("evaluate", f"sweep/{CELL}/sweep.json"),
]


@pytest.mark.parametrize(("name", "file"), READ, ids=lambda one: one.split("/")[-1])
def test_a_torn_file_is_named(undisturbed, tmp_path, name, file):
    undisturbed.copy_before(name, tmp_path)
    content = (tmp_path / file).read_bytes()
    whole = hashes(tmp_path)
    for kept in (0.0, 0.01, 0.5, 0.97):
        (tmp_path / file).write_bytes(content[: int(kept * len(content))])
        ended = run(tmp_path, COMMANDS[name])
        assert ended.status == 2, (kept, ended.said)
        assert "Traceback" not in ended.said
        assert file.rpartition("/")[2] in ended.said.splitlines()[-1]
        assert {**hashes(tmp_path), file: whole[file]} == whole, "something was made of it"


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (read_table, f"eval/{CELL}/per_image.parquet"),
        (read_table, f"eval/{CELL}/curves.parquet"),
        (read_table, f"runs/{CELL}/history.csv"),
        (read_tensors, f"runs/{CELL}/epochs.safetensors"),
        (read_maps, f"maps/{CELL}/cam.npy"),
        (read_json, f"eval/{CELL}/metrics.json"),
    ],
    ids=lambda one: getattr(one, "__name__", str(one).split("/")[-1]),
)
def test_what_compare_and_report_read_is_whole_or_named(undisturbed, tmp_path, read, name):
    content = (undisturbed.root / name).read_bytes()
    path = tmp_path / name.rpartition("/")[2]
    path.write_bytes(content)
    read(path)
    for kept in (0.0, 0.01, 0.3, 0.5, 0.97):
        path.write_bytes(content[: int(kept * len(content))])
        with pytest.raises(UserError, match=f"{path.name}: damaged or of another kind"):
            read(path)
    path.unlink()
    with pytest.raises(UserError, match=f"{path.name}: no such file"):
        read(path)
