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


def test_regions_are_compared_on_images_that_have_them_all():
    """A claim subtracts what is covered of one region from another, image by image."""
    table = pd.DataFrame(
        {
            "covered_object_fixed": [0.1, 0.2, 0.3],
            "covered_parts_fixed": [0.4, np.nan, 0.6],  # no telling part is seen in the second
            "p_iou_fixed": [np.nan, 0.8, 0.9],
        }
    )
    values = {
        metric: found.tolist() for (_, _, metric), found in collect_values({"a": [table]}).items()
    }
    assert values["covered_object"] == [[0.1, 0.3]]
    assert values["covered_parts"] == [[0.4, 0.6]]
    assert len(values["p_iou"][0]) == 2  # of its own
