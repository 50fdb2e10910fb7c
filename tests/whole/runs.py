"""Many whole files of each kind, one after the other."""

from __future__ import annotations

import random
import shutil
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from fuzzing import Outcome

from whole.checkpoints import check_checkpoint
from whole.cub import check_birds
from whole.ilsvrc import check_tree
from whole.images import check_image
from whole.scores import check_score

Check = Callable[[random.Random, Path, dict], bool]
CHECKS: dict[str, Check] = {
    "whole: CUB's layout": check_birds,
    "whole: ILSVRC's tree": check_tree,
    "whole: maps and masks": check_score,
    "whole: checkpoints": check_checkpoint,
    "whole: photographs": check_image,
}


def run_whole(check: Check, folder: Path, mapping: dict, *, inputs: int, seed: str) -> Outcome:
    """Make ``inputs`` whole inputs in ``folder`` and compare what is read with what is true.

    Args:
        check: one of :data:`CHECKS`.
        folder: scratch; emptied after every input.
        mapping: params.yaml as YAML reads it.
        inputs: how many.
        seed: of what is made.
    """
    counts: Counter[bool] = Counter()
    bugs = []
    for number in range(inputs):
        folder.mkdir(parents=True)
        try:
            counts[check(random.Random(f"{seed} {number}"), folder, mapping)] += 1
        except Exception:  # an assertion, or what no user may ever see
            bugs.append(f"{number}: {traceback.format_exc()}")
        shutil.rmtree(folder)
    return Outcome(counts[True], counts[False], bugs)
