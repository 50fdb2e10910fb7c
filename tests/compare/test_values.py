"""What maps are worth beside their boxes, where some images lack what is measured."""

from __future__ import annotations

import numpy as np
import pandas as pd

from spg.compare.errors import collect_values


def test_an_image_without_an_object_leaves_the_others_their_values():
    first, second = np.array([0.5, np.nan, 0.25]), np.array([1.0, np.nan, 0.75])
    tables = [
        pd.DataFrame({"covered_object_fixed": one, "covered_parts_fixed": np.full(3, np.nan)})
        for one in (first, second)
    ]
    (values,) = collect_values({"spg": tables}).values()
    assert values.tolist() == [[0.5, 0.25], [1.0, 0.75]]
