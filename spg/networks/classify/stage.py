"""Stage ``classify``: another classifier's scores of the test images (paper, Table 3).

Computed once for a data set and cached, whatever is trained beside it; ``compare`` puts these
classes to the boxes of our networks.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torchvision.transforms.v2.functional as V
from torch import Tensor
from torchvision.transforms import InterpolationMode
from tqdm import tqdm

from spg.data.images.manifest import TEST, read_labels
from spg.data.images.packed import PackedImages
from spg.data.inputs.batches import eval_batches
from spg.data.inputs.samples import EvalSamples, Images, Labels
from spg.data.layouts.imagenet_classes import sorted_wnids
from spg.networks.classify.preprocess import Preprocess
from spg.networks.compute.device import pick_device, set_numbers
from spg.networks.parts.published import read_published
from spg.project.errors import UserError
from spg.project.files import whole_file
from spg.project.locks import sole_writer
from spg.project.params import Params
from spg.project.plugins import find_plugin
from spg.project.workspace import Workspace


class CenterSamples(EvalSamples):
    """The square in the middle of the resized image; the key is the image's index."""

    def __init__(self, images: Images, labels: Labels, preprocess: Preprocess) -> None:
        super().__init__(images, labels, preprocess.crop, preprocess.colors)
        self.preprocess = preprocess

    def __getitem__(self, key: int) -> tuple[Tensor, int, int]:
        image = torch.from_numpy(self.images.image(key)).permute(2, 0, 1)  # [3, H, W]
        mode = InterpolationMode(self.preprocess.interpolation)
        resized = V.resize(image, [self.preprocess.resize], interpolation=mode, antialias=True)
        return V.center_crop(resized, [self.preprocess.crop] * 2), int(self.labels[key]), key


@sole_writer(Workspace.class_scores)
def classify(workspace: Workspace, params: Params, dataset: str, classifier: str) -> None:
    """Write the softmax scores of ``classifier`` for the test images, in the manifest's order.

    A Parquet file with ``image_id`` and ``scores`` (``float32 [K]``): of 1,000 scores those of the
    data set's K classes, in its order. On ILSVRC that is all of them; on a part of it the
    classifier is told, as our networks are, which classes there are.

    Raises:
        UserError: when the data set's classes are not ImageNet's, or the weights cannot be had.
    """
    module = find_plugin("classifier", classifier)
    known = read_labels(workspace.packed(dataset) / "manifest.parquet")
    columns = torch.tensor(imagenet_places(known.classes, dataset))
    network = module.build()
    network.load_state_dict(read_published(module), strict=True)
    device = pick_device()
    set_numbers(device)
    network = network.eval().to(device, memory_format=torch.channels_last)
    packed = PackedImages(workspace.packed(dataset))
    samples = CenterSamples(packed, known.class_ids, module.PREPROCESS)
    indices = known.rows_of(TEST)
    schema = pa.schema({"image_id": pa.string(), "scores": pa.list_(pa.float32(), len(columns))})
    with (
        whole_file(workspace.class_scores(dataset, classifier)) as temporary,
        pq.ParquetWriter(temporary, schema) as writer,
        torch.no_grad(),
    ):
        batches = eval_batches(samples, indices, batch_size=params.localization.batch_size)
        for batch in tqdm(batches, desc="classify", unit="batch"):
            scores = network(batch.images(device)).float().softmax(dim=1).cpu()[:, columns]
            ids = known.image_ids.take(batch.indices.numpy()).combine_chunks()
            writer.write_table(pa.table([ids, list(scores.numpy())], schema=schema))


def imagenet_places(classes: Sequence[str], dataset: str) -> list[int]:
    """Return the place of each class among ImageNet's 1,000 sorted WordNet ids.

    Args:
        classes: names that begin with the id, e.g. ``n01440764 tench``.
        dataset: whose classes they are.

    Raises:
        UserError: when one of them is none of the 1,000.
    """
    places = {wnid: place for place, wnid in enumerate(sorted_wnids())}
    wnids = [name.partition(" ")[0] for name in classes]
    foreign = [name for name, wnid in zip(classes, wnids, strict=True) if wnid not in places]
    if foreign:
        raise UserError(
            f"params.yaml: external_classifier: they know ImageNet's classes alone, and {dataset} "
            f"has {foreign[0]!r}; leave the list empty for it"
        )
    return [places[wnid] for wnid in wnids]
