# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Gallery: one image, every variant
#
# Choose images below and run the cells again. First column: the true box, the object's outline (white)
# and the telling parts' (red) where they are known. Others: the map of the true class, its mask at the
# image's selected threshold (blue), the guessed box (yellow), the true one (white) and the IoU; first
# seed of each variant. Maps are cut as `sweep.protocol: paper` does, by whatever protocol the boxes were drawn.

# %%
import os
from pathlib import Path

import numpy as np
from IPython.display import Image, Markdown, display

from spg.compare.variants import grid
from spg.data.images.manifest import TEST, read_manifest, spread
from spg.project.params import load_params
from spg.project.workspace import Workspace
from spg.report.drawing import contact_sheet
from spg.report.figures import as_png
from spg.report.render import markdown_text

root = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "params.yaml").exists())
workspace = Workspace(root)
params = load_params(workspace.params_file)
dataset = os.environ.get("SPG_DATASET", params.dataset)  # whose report runs this
rows = grid(params, dataset)
manifest = read_manifest(workspace.packed(dataset) / "manifest.parquet")
tests = np.flatnonzero(manifest["split"] == TEST)

# %%
choice = []  # image ids; empty: some of the test images, spread evenly

places = np.flatnonzero(manifest["image_id"].isin(choice)) if choice else spread(tests, 5)
for place in places:
    row = manifest.loc[place]
    name, image_id = markdown_text(row["class_name"]), markdown_text(row["image_id"])
    display(Markdown(f"**{name}**, {image_id}, {row['width']} x {row['height']} pixels"))
    sheet = contact_sheet(
        workspace, dataset, rows, normalization=params.sweep.normalization, places=np.array([place])
    )
    display(Image(as_png(sheet), alt=f"{row['class_name']}: true box, and each variant's map and box"))
