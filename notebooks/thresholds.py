# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What a threshold does
#
# A map becomes a box by a threshold: the pixels that reach it, the largest component, its box. Low ones
# give boxes of the whole image, high ones of a single part. Where a variant is best differs, which is why
# each has its own, never selected on the image that it cuts (PROTOCOL 10). Boxes here are those of `sweep.protocol: paper`.

# %%
import os
from pathlib import Path

from IPython.display import Image, Markdown, display

from spg.compare.variants import grid
from spg.data.images.manifest import TEST, read_manifest, spread
from spg.project.params import load_params
from spg.project.workspace import Workspace
from spg.report.drawing import contact_sheet, threshold_points
from spg.report.figures import as_png

root = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "params.yaml").exists())
workspace = Workspace(root)
params = load_params(workspace.params_file)
dataset = os.environ.get("SPG_DATASET", params.dataset)  # whose report runs this
rows = grid(params, dataset)
manifest = read_manifest(workspace.packed(dataset) / "manifest.parquet")
places = spread(manifest.index[manifest["split"] == TEST].to_numpy(), 2)


def show(threshold: float) -> None:
    """Draw the same images at one threshold for all variants; call it with any value in (0, 1)."""
    display(Markdown(f"Threshold **{threshold}**"))
    sheet = contact_sheet(
        workspace, dataset, rows, normalization=params.sweep.normalization, places=places, threshold=threshold
    )
    display(Image(as_png(sheet), alt=f"Each variant's map cut at {threshold}, and its box, on two test images"))


for threshold in (0.2, 0.4, 0.6, 0.8):
    show(threshold)

# %% [markdown]
# ## Error against threshold
#
# Circles: where each training was cut by its selected threshold, if that is one for all images. Triangles: where its own test
# images would have it, which no one may report.

# %%
folder = workspace.report(dataset)
for figure in sorted((folder / "figures").glob("threshold_curves.png")):
    display(Image(figure, alt="GT-known localization error against map threshold"))

# %%
points = threshold_points(workspace, rows)
columns = ["backbone", "method", "extractor", "kind"]
points.groupby(columns, sort=False).mean().round(4).reset_index().style.set_uuid("points").format(
    precision=4
).hide(axis="index")
