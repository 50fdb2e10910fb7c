# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What came out
#
# This notebook only reads what the stages `compare` and `report` left in `reports/<dataset>/`.
# `dvc repro` runs it; open it in Jupyter to go on from here.

# %%
import os
from pathlib import Path

import pandas as pd
from IPython.display import Image, Markdown, display

from spg.project.params import load_params

root = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "params.yaml").exists())
params = load_params(root / "params.yaml")
dataset = os.environ.get("SPG_DATASET", params.dataset)  # whose report runs this
folder = root / "reports" / dataset
display(Markdown((folder / "tables.md").read_text(encoding="utf-8")))

# %% [markdown]
# ## Claims
#
# Each gain with its interval over images and seeds; the reported one (diamond) is the paper's, on the data set
# that the legend names.

# %%
for figure in sorted((folder / "figures").glob("claims.png")):
    display(Image(figure, alt="Each claim's gain with its interval, reported and reproduced"))

# %% [markdown]
# ## Images, maps and boxes
#
# First column: the true box, the object's outline (white) and the telling parts' (red). Others: the
# map of the true class, its mask at the selected threshold (blue), the guessed box (yellow) and the
# true one (white), first seed.

# %%
sheet = folder / "figures" / "contact_sheet.png"
display(Image(sheet, alt="Test images with their true boxes, and each variant's map and box"))

# %% [markdown]
# ## Error against map threshold
#
# Bands span the seeds. Circles: each seed at the threshold that was selected, where that is one for all images.
# Triangles: at the best one for its own test images, the oracle, which no one may report as a result.

# %%
for figure in sorted((folder / "figures").glob("threshold_curves.png")):
    display(Image(figure, alt="GT-known localization error against map threshold"))

# %% [markdown]
# ## How good the boxes are, and what becomes of the images
#
# The further right a curve, the better its boxes; it crosses the dotted line at the GT-known error.

# %%
shown = {
    "iou": "Share of images whose box has at most a given IoU",
    "outcomes": "Share of test images with each outcome",
}
for name, text in shown.items():
    for figure in sorted((folder / "figures").glob(f"{name}.png")):
        display(Image(figure, alt=text))

# %% [markdown]
# ## Where the maps look
#
# The paper's premise: attention sticks to small telling parts, and SPG spreads it over the object.

# %%
for figure in sorted((folder / "figures").glob("energy.png")):
    display(Image(figure, alt="How much denser each map is on telling parts and object than a uniform one"))

# %% [markdown]
# ## How the guidance grows
#
# First guided variant, first seed: the masks that attention O, B2 and the fused map teach with, and what
# B1 and C answer, after each epoch. Yellow: foreground. Blue: background. Where the image is seen, a mask is silent.

# %%
for figure in sorted((folder / "figures").glob("guidance.png")):
    display(Image(figure, alt="The masks that guide, and what the branches answer, epoch by epoch"))

# %% [markdown]
# ## Training

# %%
display(Image(folder / "figures" / "training_curves.png", alt="Each loss term over the epochs"))

# %% [markdown]
# ## Every number
#
# Fractions, not per cent; all of `comparison.csv`.

# %%
comparison = pd.read_csv(folder / "comparison.csv")
comparison.style.set_uuid("comparison").format(precision=4, na_rep="–").hide(axis="index")
