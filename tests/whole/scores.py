"""Maps, masks and metadata as people bring them to ``spg score``, and what they are worth."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import cv2
import numpy as np

from spg.tools.scoring.command import ScoreOptions, run_score
from whole.pictures import mask_file, no_picture, region
from whole.refusal import refusal

SIDE = 224
STEPS = (10, 20, 50)
MAP_FAULTS = ("none", "npz", "above 1", "integers", "of another size", "nan")
"""A map that counts as wrong at every threshold, and is named."""
FAULTS = ("two ids", "no picture", "no object", "no mask file", "an id twice", "a stranger",
          "spreadsheet", "no size")  # fmt: skip
"""What is refused as a whole."""
DOUBTS = ("swapped", "relative")


def iou_inclusive(first, second) -> float:
    """Return the IoU of two boxes whose far corners belong to them."""
    left, top = max(first[0], second[0]), max(first[1], second[1])
    right, bottom = min(first[2], second[2]), min(first[3], second[3])
    inter = max(0, right - left + 1) * max(0, bottom - top + 1)
    areas = [(b[2] - b[0] + 1) * (b[3] - b[1] + 1) for b in (first, second)]
    return inter / (sum(areas) - inter)


def contour_boxes(loc_map, threshold) -> tuple[list, list]:
    """Return the box of the largest contour, and those of all, by wsolevaluation's rules."""
    grey = (loc_map * 255).astype(np.uint8)
    _, binary = cv2.threshold(grey, int(threshold * grey.max()), 255, cv2.THRESH_BINARY)
    contours, _ = cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return [0, 0, 0, 0], [[0, 0, 0, 0]]

    def box(contour):
        x, y, w, h = cv2.boundingRect(contour)
        return [x, y, min(x + w, SIDE - 1), min(y + h, SIDE - 1)]

    return box(max(contours, key=cv2.contourArea)), [box(contour) for contour in contours]


def accuracies(maps: dict, boxes: dict, sizes: dict, steps: int) -> tuple[float, float]:
    """Return MaxBoxAcc and MaxBoxAccV2, one threshold and one image at a time."""
    largest = np.zeros(steps)
    every = {level: np.zeros(steps) for level in (0.3, 0.5, 0.7)}
    for name, loc_map in maps.items():
        if loc_map is None:
            continue
        scale = [SIDE / edge for edge in (*sizes[name], *sizes[name])]
        truth = [[int(v * s) for v, s in zip(box, scale, strict=True)] for box in boxes[name]]
        for at, threshold in enumerate(np.arange(steps) / steps):
            best, found = contour_boxes(loc_map, threshold)
            largest[at] += max(iou_inclusive(best, box) for box in truth) >= 0.5
            iou = max(iou_inclusive(guess, box) for guess in found for box in truth)
            for level, hits in every.items():
                hits[at] += iou >= level
    count = len(maps)
    return largest.max() / count, float(np.mean([hits.max() / count for hits in every.values()]))


def pixel_precision(maps: dict, masks: dict, steps: int) -> float:
    """Return PxAP from all pixels at once; ``masks``: bool, in the maps' frame."""
    scores = np.concatenate([np.asarray(maps[name], np.float64).ravel() for name in maps])
    truth = np.concatenate([masks[name].ravel() for name in maps])
    precision, recall = [], [0.0]
    for threshold in [*(np.arange(1, steps + 1) / steps)[::-1], 0.0]:
        found = scores >= threshold
        hits = (found & truth).sum()
        precision.append(hits / max(1, found.sum()))
        recall.append(hits / truth.sum())
    return float((np.array(precision) * np.diff(recall)).sum())


def blob(draw: random.Random) -> np.ndarray:
    """Return a finished map: one or two hills on some waves, ``float [224, 224]`` in [0, 1]."""
    rng = np.random.default_rng(draw.randrange(1 << 30))
    waves = cv2.resize(rng.random((5, 5)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    for _ in range(draw.randint(1, 2)):
        cx, cy, r = draw.randint(50, 170), draw.randint(50, 170), draw.randint(20, 60)
        waves = waves + 3 * np.exp(-(((x - cx) / r) ** 4 + ((y - cy) / r) ** 4))
    scaled = (waves - waves.min()) / (waves.max() - waves.min())
    return scaled.astype(draw.choice([np.float32, np.float64]))


class Split:
    """One folder of maps with its metadata, and the truth."""

    def __init__(self, draw: random.Random, folder: Path) -> None:
        self.draw, self.folder = draw, folder
        self.masked = draw.random() < 0.5
        self.fault = draw.choice(FAULTS) if draw.random() < 0.3 else None
        self.doubt = draw.choice(DOUBTS) if not self.masked and draw.random() < 0.2 else None
        self.steps = draw.choice(STEPS)
        suffixes = [".jpg"] if self.fault == "no mask file" else [".jpg", ".png", ".JPEG"]
        self.ids = [f"val/{draw.choice('abc')} {n}, x{draw.choice(suffixes)}"
                    if not self.masked else f"val/{n}.jpg" for n in range(3)]  # fmt: skip
        self.maps: dict[str, np.ndarray | None] = {}
        self.masks: dict[str, np.ndarray] = {}
        self.boxes: dict[str, list] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        self.bad: set[str] = set()
        lines: dict[str, list[str]] = {"image_ids": list(self.ids), "localization": []}
        for name in self.ids:
            self._add_map(name)
            lines["localization"] += self._regions(name)
        if self.fault == "two ids":
            lines["image_ids"].append(f"{self.ids[0].rsplit('.', 1)[0]}.tif")
            lines["localization"] += [
                line.replace(self.ids[0], lines["image_ids"][-1], 1)
                for line in lines["localization"] if line.startswith(self.ids[0])
            ]  # fmt: skip
            self.sizes[lines["image_ids"][-1]] = self.sizes[self.ids[0]]
            short = (folder / "maps" / self.ids[0]).with_suffix(".npy")
            whole = folder / "maps" / f"{self.ids[0]}.npy"
            np.save(short, blob(draw))
            whole.unlink(missing_ok=True)
        self._write(lines)

    def _add_map(self, name: str) -> None:
        draw = self.draw
        loc_map: np.ndarray | None = blob(draw)
        path = self.folder / "maps" / f"{name}.npy"
        if draw.random() < 0.3:
            path = (self.folder / "maps" / name).with_suffix(".npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        fault = draw.choice(MAP_FAULTS) if draw.random() < 0.1 else None
        spoiled = {
            "above 1": loc_map * loc_map.dtype.type(1.0000002),
            "of another size": loc_map[:14, :14],
            "integers": (loc_map * 255).astype(np.uint8),
            "nan": np.where(loc_map > 0.9, np.nan, loc_map),
        }
        if fault == "npz":
            np.savez(path.with_suffix(".npz"), loc_map)
        elif fault != "none":
            np.save(path, spoiled.get(fault, loc_map))
        self.maps[name] = None if fault else loc_map
        if fault:
            self.bad.add(name)

    def _regions(self, name: str) -> list[str]:
        """Return an image's lines of localization.txt."""
        draw = self.draw
        width, height = draw.randint(60, 200), draw.randint(60, 200)
        self.sizes[name] = (width, height)
        if not self.masked:
            boxes = []
            for _ in range(draw.randint(1, 2)):
                x, y = draw.randint(0, width // 2), draw.randint(0, height // 2)
                boxes.append((x, y, draw.randint(x + 5, width), draw.randint(y + 5, height)))
            if self.doubt == "swapped":  # a tall box in what was a tall image
                self.sizes[name] = (200, 60)
                boxes = [(5, 5, 50, 190)]
            elif self.doubt == "relative":
                boxes = [tuple(round(v / 200, 3) for v in box) for box in boxes]
            self.boxes[name] = boxes
            return [f"{name},{','.join(map(str, box))}" for box in boxes]
        lines, union = [], np.zeros((SIDE, SIDE), dtype=bool)
        for number in range(draw.randint(1, 2)):
            mask = region(draw, width, height)
            if self.fault == "no object":
                mask[:] = False
            content = mask_file(draw, mask) if mask.any() else cv2.imencode(
                ".png", mask.astype(np.uint8))[1].tobytes()  # fmt: skip
            if self.fault == "no picture" and name == self.ids[1] and not number:
                content = no_picture(draw, content)
            file = f"{name}_{number}.png"
            (self.folder / "masks" / file).parent.mkdir(parents=True, exist_ok=True)
            if self.fault != "no mask file" or name != self.ids[2]:
                (self.folder / "masks" / file).write_bytes(content)
            lines.append(f"{name},{file},")
            small = cv2.resize(mask.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
            union |= small > 0
        self.masks[name] = union
        return lines

    def _write(self, lines: dict[str, list[str]]) -> None:
        ids = lines["image_ids"]
        sizes = [f"{name},{w},{h}" for name, (w, h) in self.sizes.items()]
        lines |= {"class_labels": [f"{name},0" for name in ids], "image_sizes": sizes}
        if self.masked and self.draw.random() < 0.5:
            lines["image_sizes"] = []  # as OpenImages has them
        if self.fault == "no size" and not self.masked:
            lines["image_sizes"] = []
        elif self.fault == "an id twice":
            ids.append(ids[0])
        elif self.fault == "a stranger":
            lines["localization"].append("val/nowhere.jpg,1,1,5,5")
        elif self.fault == "spreadsheet":
            lines["class_labels"] = [line.replace(",", "\t") for line in lines["class_labels"]]
        folder = self.folder / "metadata"
        folder.mkdir()
        for name, rows in lines.items():
            end = self.draw.choice(["\n", "\r\n"])
            text = end.join(rows) + end * self.draw.randint(0, 2)
            (folder / f"{name}.txt").write_bytes(
                text.encode(self.draw.choice(["utf-8", "utf-8-sig"]))
            )

    @property
    def refused(self) -> bool:
        """Whether nothing may come out, since no number would be right."""
        if self.fault in ("no picture", "no object", "no mask file"):
            return self.masked
        if self.fault == "no size":
            return not self.masked
        return self.fault is not None


def guessed_classes(
    draw: random.Random, folder: Path, split: Split
) -> tuple[Path | None, float | None]:
    """Write a file of guessed classes, now and then; return it and the share of wrong ones."""
    if draw.random() < 0.5:
        return None, None
    right = {name: draw.random() < 0.5 for name in split.ids}  # every image is of class 0
    rows = [[name, 0 if ok else draw.randint(1, 9)] for name, ok in right.items()]
    draw.shuffle(rows)
    file = folder / "guessed.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows([["image_id", "top1"], *rows])
    return file, 1 - sum(right.values()) / len(right)


def check_score(draw: random.Random, folder: Path, _mapping: dict) -> bool:
    """Score a split; return whether all its maps were right."""
    split = Split(draw, folder)
    guessed, cls_err = guessed_classes(draw, folder, split)
    options = ScoreOptions(
        maps=folder / "maps", metadata=folder / "metadata",
        masks=folder / "masks" if split.masked else None, protocol="wsolevaluation",
        step=1 / split.steps, normalization=None, percentile=None, threshold=None, select_on=None,
        scores=guessed, report=None, table=None, json_file=folder / "numbers.json", workers=0,
    )  # fmt: skip
    complaint = refusal(lambda: run_score(options, lambda _: None)) or ""
    if split.refused:
        assert complaint, split.fault
        assert not options.json_file.exists(), split.fault
        return False
    assert bool(split.bad) == bool(complaint), complaint
    assert all(name in complaint for name in split.bad), complaint
    numbers = json.loads(options.json_file.read_text())
    assert bool(numbers["warnings"]) == bool(split.doubt), numbers["warnings"]
    assert numbers.get("top1_cls_err") == cls_err, (numbers, cls_err)
    if split.masked:
        maps = {name: np.zeros((SIDE, SIDE)) if m is None else m for name, m in split.maps.items()}
        want = pixel_precision(maps, split.masks, split.steps)
        assert abs(numbers["px_ap"] - want) < 1e-9, (numbers["px_ap"], want)
    else:
        found = numbers["max_box_acc"], numbers["max_box_acc_v2"]
        want = accuracies(split.maps, split.boxes, split.sizes, split.steps)
        assert np.allclose(found, want, atol=1e-12), (found, want)
    return not complaint
