# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The images and their boxes

# %%
import os
from pathlib import Path

import numpy as np
from IPython.display import Image, Markdown, display
from matplotlib.figure import Figure

from spg.data.images.manifest import TEST, boxes_of, read_manifest
from spg.data.images.packed import PackedImages
from spg.project.params import load_params
from spg.project.workspace import Workspace
from spg.report.drawing import in_original
from spg.report.figures import TRUE_COLOR, as_png, draw_box, show

root = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "params.yaml").exists())
workspace = Workspace(root)
params = load_params(workspace.params_file)
dataset = os.environ.get("SPG_DATASET", params.dataset)  # whose report runs this
manifest = read_manifest(workspace.packed(dataset) / "manifest.parquet")
packed = PackedImages(workspace.packed(dataset))

# %% [markdown]
# ## How many
#
# `train_weaksup` teaches by labels alone, `train_fullsup`, where there is one, has boxes and selects thresholds, `test` is
# reported.

# %%
counts = manifest.groupby("split").agg(images=("image_id", "size"), classes=("class_id", "nunique"))
counts.style.set_uuid("counts")

# %% [markdown]
# ## How large
#
# A box's share of its image's area decides how well a box that looks at nothing does.

# %%
tests = manifest[manifest["split"] == TEST]
boxes = [boxes_of(boxes) for boxes in tests["boxes"]]
areas = tests["width"].to_numpy() * tests["height"].to_numpy()
shares = np.concatenate(
    [(b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) / area for b, area in zip(boxes, areas, strict=True)]
)
figure = Figure(figsize=(9, 2.8), layout="constrained")
sizes, share, number = figure.subplots(1, 3)
sizes.scatter(tests["width"], tests["height"], s=8, alpha=0.4)
sizes.set(xlabel="width, pixels", ylabel="height, pixels", title="test images")
share.hist(100 * shares, bins=20, range=(0, 100))
share.set(xlabel="box's share of the image, %", ylabel="boxes", title="true boxes")
number.hist([len(b) for b in boxes], bins=np.arange(0.5, max(1, *(len(b) for b in boxes)) + 1))
number.set(xlabel="boxes in an image", ylabel="images", title="how many boxes")
display(Image(as_png(figure), alt="Sizes of test images, shares of true boxes, boxes in an image: histograms"))
if len(shares):
    display(Markdown(f"Median share of a box: {100 * np.median(shares):.1f} %."))
else:
    display(Markdown("No test image has a true box."))

# %% [markdown]
# ## What they look like
#
# One test image of each class (at most twenty), with its true boxes.

# %%
first = tests.drop_duplicates("class_id").head(20)
columns = 5
rows = -(-len(first) // columns)
figure = Figure(figsize=(10, 2.1 * rows), layout="constrained")
axes = figure.subplots(rows, columns, squeeze=False).ravel()
for axis in axes:
    axis.axis("off")
for axis, (place, row) in zip(axes, first.iterrows(), strict=False):
    show(axis, in_original(packed.image(place), row))
    axis.set_title(row["class_name"], fontsize=7)
    for box in boxes_of(row["boxes"]):
        draw_box(axis, box, TRUE_COLOR)
display(Image(as_png(figure), alt="One test image of each class, with its true boxes"))
