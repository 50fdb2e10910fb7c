"""Commands that make data and stem weights: fetch, prepare, metadata, weights."""

from __future__ import annotations

from pathlib import Path

import click

from spg.cli.options import FOLDER, command, dataset_option, params_of
from spg.project.command_line import checked_params, workspace


@command()
@click.argument("dataset")
def fetch(dataset: str) -> None:
    """Get or draw the raw data of DATASET into data/raw/DATASET.

    CUB-200-2011 (1.2 GB) is downloaded and verified; after a cut, the same command goes on where
    it stopped. SPG_CUB_ARCHIVES names the folder of the two archives: those that lie there are
    used, others go there; default data/archives/DATASET. SPG_CUB_URL is the address of a mirror's
    folder; the checksums stay the published ones.

    Imagenette (94 MB to 1.5 GB by source.size) is downloaded and verified the same way, into
    data/archives/DATASET. SPG_IMAGENETTE names a copy that you have: the archive, or the unpacked
    folder with train and val. SPG_IMAGENETTE_URL is the address of a mirror's folder.

    ILSVRC 2012 asks for a login, so you get it, and SPG_ILSVRC_ROOT names the folder that holds
    image-net.org's archives or Kaggle's ILSVRC/. It is verified and indexed in place.
    """
    from spg.data.fetch.stage import fetch as stage

    stage(workspace(), checked_params(dataset), dataset)


@command()
@click.argument("dataset")
def prepare(dataset: str) -> None:
    """Pack the raw data of DATASET into data/packed/DATASET and split it.

    All that is wrong with the data set is said at once; .scratch/problems-DATASET.yaml has the
    whole list, with the images that datasets.DATASET.prepare.skip may leave out.
    """
    from spg.data.prepare.stage import prepare as stage

    stage(workspace(), checked_params(dataset), dataset)


@command()
@click.argument("dataset")
@click.argument("output", type=FOLDER)
def metadata(dataset: str, output: Path) -> None:
    """Write the splits of DATASET into the folder OUTPUT in wsolevaluation's format.

    Folders train, val and test (train-weaksup, train-fullsup and test in its words), for its code
    and for `spg score`.
    """
    from spg.tools.export_metadata import export_metadata

    export_metadata(workspace(), checked_params(dataset), dataset, output)
    click.echo(f"wrote {output}")


@command()
@click.argument("backbone")
@dataset_option
def stem(backbone: str, dataset: str | None) -> None:
    """Train the narrow stem of BACKBONE on drawn species into stems/BACKBONE.safetensors.

    As wide as the data set's settings say. stems/ comes with the project: `make stem` says whether
    anything that its files come from has changed.
    """
    from spg.networks.weights.drawn import make_stem

    params, name = params_of(dataset)
    make_stem(workspace(), params, name, backbone)


@command()
@click.argument("backbone")
@dataset_option
def weights(backbone: str, dataset: str | None) -> None:
    """Make the stem weights of BACKBONE: drawn ones of stems/, published (verified) or random."""
    from spg.networks.weights.stage import make_weights

    params, name = params_of(dataset)
    make_weights(workspace(), params, name, backbone)
