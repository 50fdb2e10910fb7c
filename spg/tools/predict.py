"""Anybody's image through a trained cell: the class, its map and its box."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from spg.data.inputs.colors import Colors, normalize_images
from spg.data.inputs.samples import squash
from spg.data.prepare.recode import BadImageError, opened
from spg.data.results.provenance import read_provenance
from spg.evaluate.metrics.maps import localization_map
from spg.evaluate.metrics.rules import largest_box
from spg.localize.maps import viewed
from spg.networks.compute.device import make_deterministic, pick_device
from spg.networks.parts.build import build_network, tested
from spg.networks.parts.model_file import load_model
from spg.project.errors import UserError
from spg.project.files import write_bytes
from spg.project.params import Params
from spg.project.workspace import PROVENANCE
from spg.report.figures import GalleryRow, Panel, as_png, contact_sheet


class Prediction(NamedTuple):
    """What is known of one image."""

    image: str
    class_name: str
    score: float
    """Softmax score in [0, 1]."""
    box: list[float]
    """xyxy, half-open, pixels of the image."""
    overlay: str
    """File of the picture with map and box."""


def predict(
    params: Params, paths: list[Path], *, checkpoint: Path, output: Path
) -> Iterator[Prediction]:
    """Localize the best class of each image at the fixed map threshold; write overlays.

    Args:
        params: of the project that trained the checkpoint.
        paths: image files of any size.
        checkpoint: ``model.safetensors`` with its ``provenance.json`` beside it.
        output: folder of the overlays, ``<name>.png`` each.
    """
    record = read_provenance(checkpoint.with_name(PROVENANCE))
    cell, class_names = record.cell, record.classes
    whole, _ = build_network(params, cell, len(class_names))
    load_model(checkpoint, whole)
    colors: Colors = whole.stem.colors  # type: ignore[union-attr, assignment]
    device = pick_device()
    make_deterministic()
    model = tested(whole).eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    side, _ = viewed(params.setup(cell.dataset, cell.backbone).input, ten_crop=False)
    for path, overlay in zip(paths, overlay_files(paths, output), strict=True):
        image = read_image(path)
        with torch.no_grad():
            outputs = model(normalize_images(squash(image, side)[None], colors).to(device))
        scores = outputs.logits[0].softmax(dim=0)
        best = int(scores.argmax())
        raw_map = outputs.class_maps[0, best].float().cpu().numpy()
        loc_map = localization_map(raw_map, (image.shape[1], image.shape[0]))
        threshold = params.evaluation.map_threshold
        panel = Panel(loc_map, threshold, largest_box(loc_map >= np.float64(threshold)), None)
        row = GalleryRow(image, np.zeros((0, 4)), None, None, [panel])
        write_bytes(overlay, as_png(contact_sheet([row], [class_names[best]], first="image")))
        box = [float(edge) for edge in panel.box]
        yield Prediction(str(path), class_names[best], float(scores[best]), box, str(overlay))


def overlay_files(paths: list[Path], output: Path) -> list[Path]:
    """Return a file in ``output`` for each image, numbered where images share a name.

    Example:
        >>> [p.name for p in overlay_files([Path("a/x.jpg"), Path("b/x.png")], Path("out"))]
        ['x.png', 'x-2.png']
    """
    taken: Counter[str] = Counter()
    files = []
    for path in paths:
        taken[path.stem] += 1
        number = f"-{taken[path.stem]}" if taken[path.stem] > 1 else ""
        files.append(output / f"{path.stem}{number}.png")
    return files


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return an image file as ``uint8 [H, W, 3]``, RGB, turned as its EXIF block says.

    Raises:
        UserError: when it is no image, damaged, or has more pixels than `recode.MAX_PIXELS`.
    """
    try:
        encoded = path.read_bytes()
        with opened(encoded) as image:
            image.load()  # whole, before anything else decodes it
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except BadImageError as error:
        raise UserError(f"{path}: {error}") from None
    decoded = cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise UserError(f"{path}: an image of a kind that cannot be decoded; make it a JPEG or PNG")
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
