"""Anybody's image through a trained cell: the class, its map and its box."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from spg.data.images.decoding import BadImageError, decode_rgb
from spg.data.inputs.colors import Colors, normalize_images
from spg.data.inputs.samples import squash
from spg.data.prepare.recode import recode
from spg.data.results.provenance import Provenance, read_provenance
from spg.evaluate.metrics.maps import localization_map
from spg.evaluate.metrics.normalization import normalizers
from spg.evaluate.metrics.rules import largest_box
from spg.localize.maps import viewed
from spg.networks.compute.device import pick_device, set_numbers
from spg.networks.parts.build import build_network, tested
from spg.networks.parts.model_file import load_model
from spg.project.errors import UserError, first_few
from spg.project.files import write_bytes
from spg.project.params import Params
from spg.project.workspace import PROVENANCE
from spg.report.figures import GalleryRow, Panel, as_png, contact_sheet
from spg.tools.checkpoints.exchange import model_file


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
        checkpoint: ``model.safetensors`` with its ``provenance.json`` beside it, or their folder.
        output: folder of the overlays, ``<name>.spg.png`` each: no photograph is called so.

    The box is drawn as ``sweep.protocol: paper`` has it, in the image's own pixels.

    Raises:
        UserError: at the end, when there were images that cannot be read; it names each.
    """
    checkpoint = model_file(checkpoint)
    record = _record_of(params, checkpoint.with_name(PROVENANCE))
    cell, class_names = record.cell, record.classes
    whole, _ = build_network(params, cell, len(class_names))
    load_model(checkpoint, whole)
    colors: Colors = whole.stem.colors  # type: ignore[union-attr, assignment]
    device = pick_device()
    set_numbers(device)
    model = tested(whole).eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    side, _ = viewed(params.setup(cell.dataset, cell.backbone).input, ten_crop=False)
    fixed = [params.evaluation.percentile]
    normalize = normalizers(params.sweep.normalization, fixed)[0]  # that of the fixed threshold
    bad: list[str] = []
    for path, overlay in zip(paths, overlay_files(paths, output), strict=True):
        try:
            image = read_image(path)
            with torch.no_grad():
                outputs = model(normalize_images(squash(image, side)[None], colors).to(device))
            scores = outputs.logits[0].softmax(dim=0)
            best = int(scores.argmax())
            raw_map = outputs.class_maps[0, best].float().cpu().numpy()
            size = (image.shape[1], image.shape[0])
            loc_map = localization_map(raw_map, size, normalize=normalize)
            threshold = params.evaluation.map_threshold
            panel = Panel(loc_map, threshold, largest_box(loc_map >= np.float64(threshold)), None)
            row = GalleryRow(image, np.zeros((0, 4)), None, None, [panel])
            write_bytes(overlay, as_png(contact_sheet([row], [class_names[best]], first="image")))
        except UserError as error:  # the next image may be better
            bad.append(str(error))
            continue
        except OSError as error:
            bad.append(f"{path}: {error.filename or overlay}: {error.strerror}")
            continue
        box = [float(edge) for edge in panel.box]
        yield Prediction(str(path), class_names[best], float(scores[best]), box, str(overlay))
    if bad:
        raise UserError(f"{len(bad)} of {len(paths)} images were left out: {first_few(bad)}")


def _record_of(params: Params, path: Path) -> Provenance:
    """Return a cell's record, if params.yaml knows what it was trained on."""
    record = read_provenance(path)
    if record.cell.dataset not in params.datasets:
        raise UserError(
            f"{path}: was trained on {record.cell.dataset!r}, which `datasets` of params.yaml does "
            f"not name; there are {sorted(params.datasets)}"
        )
    return record


def overlay_files(paths: list[Path], output: Path) -> list[Path]:
    """Return a file in ``output`` for each image, numbered where a name is taken.

    Example:
        >>> [p.name for p in overlay_files([Path("a/x.jpg"), Path("b/x.png")], Path("out"))]
        ['x.spg.png', 'x-2.spg.png']
    """
    taken = {path.resolve() for path in paths}  # no photograph may be written over
    files = []
    for path in paths:
        names = (f"{path.stem}{f'-{number}' if number > 1 else ''}.spg.png" for number in count(1))
        file = next(output / name for name in names if (output / name).resolve() not in taken)
        taken.add(file.resolve())
        files.append(file)
    return files


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return an image file as ``uint8 [H, W, 3]``, RGB: the pixels that ``prepare`` would pack.

    Raises:
        UserError: when it is no image, damaged, or has more pixels than `decoding.MAX_PIXELS`.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is no file")
    try:
        return decode_rgb(recode(path.read_bytes(), short_side=None, quality=100).encoded)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except BadImageError as error:
        raise UserError(f"{path}: {error}") from None
