"""A split of wsolevaluation's metadata, with images."""

from __future__ import annotations

from tiny_ilsvrc import jpeg


def write_split(root, name, rows):
    """``rows``: path, class, size, boxes; the files as wsolevaluation has them."""
    folder = root / "metadata" / name / "val"
    folder.mkdir(parents=True)
    boxes = [(path, box) for path, _, _, boxes in rows for box in boxes]
    for file, lines in {
        "image_ids": [path for path, *_ in rows],
        "class_labels": [f"{path},{label}" for path, label, *_ in rows],
        "image_sizes": [f"{path},{w},{h}" for path, _, (w, h), _ in rows],
        "localization": [f"{path},{','.join(map(str, box))}" for path, box in boxes],
    }.items():
        (folder / f"{file}.txt").write_text("".join(f"{line}\n" for line in lines))
    for number, (path, _, (width, height), _) in enumerate(rows):
        target = root / "dataset" / name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(jpeg(width, height, number))
