"""Boxes of one network with the classes of another (paper, Table 3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from spg.data.results.columns import Columns, read_batches
from spg.project.errors import UserError
from spg.project.workspace import GUESSES


def classifiers_of(
    listed: Sequence[str], ensembles: Mapping[str, Sequence[str]]
) -> dict[str, Sequence[str]]:
    """Return the members of each external classifier: itself, or those of an ensemble.

    Args:
        listed: ``external_classifier``.
        ensembles: of params.yaml; one is there when all its members are listed.
    """
    single: dict[str, Sequence[str]] = {name: [name] for name in listed}
    whole = {name: own for name, own in ensembles.items() if set(own) <= set(listed)}
    return single | whole


def external_guesses(paths: Sequence[Path]) -> pd.DataFrame:
    """Return ``image_id`` and the best classes (``top1`` ...) by the members' mean scores.

    Reads a few thousand images at a time.

    Args:
        paths: the members' files, of the same images in the same order.
    """
    files = [read_batches(path, ("image_id", "scores")) for path in paths]
    tables = []
    for batches in _together(files, str(paths[0].parent)):
        best = top_guesses(mean_scores([batch["scores"] for batch in batches]))
        table = pd.DataFrame(best, columns=[f"top{k + 1}" for k in range(best.shape[1])])
        table.insert(0, "image_id", batches[0]["image_id"])
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def with_classes(table: pd.DataFrame, guesses: pd.DataFrame) -> pd.DataFrame:
    """Return a per-image table with the classes of another classifier; its boxes stay.

    Raises:
        UserError: when the classifier has not seen an image.
    """
    known = guesses.set_index("image_id")
    if not table["image_id"].isin(known.index).all():
        raise UserError("runs/: a classifier's scores are of other images; run `dvc repro`")
    own = table.drop(columns=[name for name in table if name.startswith("top")])
    return own.join(known, on="image_id")


def mean_scores(scores: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Return the mean of the members' softmax scores, ``Float[N, K]`` each (PROTOCOL 25)."""
    mean: NDArray[np.float64] = np.mean(scores, axis=0, dtype=np.float64)
    return mean


def top_guesses(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the best five classes of each image, ``Int[N, 5]``; of equal ones the first.

    Args:
        scores: ``Float[N, K]``.
    """
    order: NDArray[np.int64] = np.argsort(-scores, axis=1, kind="stable")
    return order[:, :GUESSES]


def _together(files: Sequence[Iterator[Columns]], folder: str) -> Iterator[list[Columns]]:
    """Yield one batch of each file; they cover the same images in the same order."""
    for batches in zip(*files, strict=True):
        ids = [batch["image_id"] for batch in batches]
        if any(not np.array_equal(other, ids[0]) for other in ids):
            raise UserError(f"{folder}: classifiers saw different images; run `dvc repro`")
        yield list(batches)
