"""The box rule of the work that the paper's Backprop rows cite (PROTOCOL 11).

Simonyan et al., ICLR workshop 2014 (arXiv:1312.6034), section 3.2: the colors of the most and of
the least salient pixels give two mixtures of Gaussians, GraphCut labels every pixel by them, and
the box is that of the largest connected component. No threshold on the map is chosen.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spg.evaluate.metrics.boxes import Boxes
from spg.evaluate.metrics.maps import Map

NO_BOX = (0, 0, 0, 0)  # OpenCV is given labels instead
COMPONENTS = 5  # Gaussians in each of OpenCV's two models, which so many pixels are needed for


def graph_cut_box(
    image: NDArray[np.uint8], saliency: Map, *, background: float, foreground: float
) -> Boxes:
    """Return the box, ``Float[4]``, half-open, in the image; zeros where nothing is labelled.

    Args:
        image: ``uint8 [H, W, 3]``.
        saliency: ``Float[H, W]``, any range.
        background: the quantile of the map up to which pixels are the background's colors.
        foreground: the quantile above which they are the object's.
    """
    low, high = np.quantile(saliency, [background, foreground])
    least, most = image[saliency <= low], image[saliency > high]
    if min(len(least), len(most)) < COMPONENTS:
        return np.zeros(4)
    labels = _segment(image, *_color_models(least, most))
    return _largest_box(labels)


def _color_models(
    least: NDArray[np.uint8], most: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return OpenCV's models of background and object, learned from these pixels alone."""
    strip = np.concatenate([least, most])[None]  # an image of one line
    sure = np.full(strip.shape[:2], cv2.GC_BGD, dtype=np.uint8)
    sure[:, len(least) :] = cv2.GC_FGD
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # k-means begins the mixtures
    cv2.grabCut(strip, sure, NO_BOX, *models, 1, cv2.GC_INIT_WITH_MASK)
    return models


def _segment(
    image: NDArray[np.uint8], behind: NDArray[np.float64], thing: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Label every pixel by fixed models; no pixel's label is given."""
    labels = np.full(image.shape[:2], cv2.GC_PR_FGD, dtype=np.uint8)
    cv2.grabCut(image, labels, NO_BOX, behind, thing, 1, cv2.GC_EVAL_FREEZE_MODEL)
    is_object: NDArray[np.uint8] = (labels == cv2.GC_PR_FGD).astype(np.uint8)
    return is_object


def _largest_box(labels: NDArray[np.uint8]) -> Boxes:
    count, _, stats, _ = cv2.connectedComponentsWithStats(labels, connectivity=8)
    if count == 1:  # the background alone
        return np.zeros(4)
    largest: NDArray[Any] = stats[1 + stats[1:, cv2.CC_STAT_AREA].argmax()]
    left, top = largest[cv2.CC_STAT_LEFT], largest[cv2.CC_STAT_TOP]
    right, bottom = left + largest[cv2.CC_STAT_WIDTH], top + largest[cv2.CC_STAT_HEIGHT]
    return np.array([left, top, right, bottom], dtype=np.float64)
