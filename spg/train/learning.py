"""Whether a training learns: its class loss against that of a guess."""

from __future__ import annotations

import math

SHARE_OF_CHANCE = 0.99


def stands_at_chance(loss: float, classes: int) -> bool:
    """Return whether a class loss is still that of a guess among all classes, ``ln(classes)``.

    A network that says the same to every image can do no better. Up to 1 % below it counts as
    standing there: of CUB's 200 classes that is 5.25 of 5.30. So does a loss that is not finite.

    Args:
        loss: softmax cross-entropy, mean over images.
        classes: how many there are.
    """
    return classes > 1 and not loss < SHARE_OF_CHANCE * math.log(classes)
