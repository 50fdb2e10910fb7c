"""Stage ``prepare``: raw data -> packed images and manifest.parquet.

All that is stated about an image is compared with the image here, so that no later stage finds a
mistake after hours of training, and all mistakes are found in one run. Any process may make any
shard, so that the result does not depend on their number, and an interrupted run goes on after its
last whole shard.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from spg.data.images.manifest import write_manifest
from spg.data.layouts.annotations import Annotation
from spg.data.layouts.problems import BadDataError, Problems
from spg.data.layouts.raw import check_root, is_indexed
from spg.data.layouts.space import require_space
from spg.data.layouts.spec import read_source, spec_of
from spg.data.prepare.checks import (
    hold_out,
    in_files_pixels,
    note_faults,
    numbered,
    say_doubts,
    say_missing,
)
from spg.data.prepare.rows import manifest_rows
from spg.data.prepare.shards import bytes_left, pack_all, shards_of, work_folder
from spg.project.errors import NAMED, UserError, first_few
from spg.project.files import whole_folder, write_text
from spg.project.locks import sole_writer
from spg.project.params import Params
from spg.project.workspace import Workspace


@sole_writer(Workspace.packed)
def prepare(workspace: Workspace, params: Params, dataset: str) -> None:
    """Pack the raw data of ``dataset`` and split its images.

    Raises:
        UserError: names all that is wrong with the data set's files, each in a sentence.
    """
    raw, rule = workspace.raw(dataset), params.datasets[dataset].prepare
    source = params.datasets[dataset].source
    spec = spec_of(dataset, source)
    check_root(raw)
    again = f" and run `spg fetch {dataset}` again" if is_indexed(raw) else ""
    skip_key = f"datasets.{dataset}.prepare.skip"
    problems = Problems(raw, skip=skip_key, remedy=f"mend the files{again}")
    annotations = _annotations(spec.read, raw, problems, workspace.problems(dataset))
    places = _kept(annotations, rule.skip, skip_key)
    for item in (annotations[place] for place in places):
        if item.problem:
            problems.images[item.image_id] = item.problem
    places = [place for place in places if not annotations[place].problem]
    good = numbered([annotations[place] for place in places])
    hold_out(annotations, places, None, rule, problems)
    work = work_folder(workspace, dataset, raw, good, rule)
    shards = list(shards_of(work, raw, good, rule))
    require_space(workspace.packed(dataset), bytes_left(shards), f"packing {len(good):,} images")
    packed = pack_all(shards, len(good))
    annotations = in_files_pixels(annotations, places, packed)
    good = numbered([annotations[place] for place in places])
    splits = hold_out(annotations, places, packed, rule, problems)
    note_faults(good, splits, packed, problems)
    problems.complain(workspace.problems(dataset))
    say_doubts(good, splits, packed)
    if spec.published:
        say_missing(splits, spec.sizes(read_source(dataset, source)), rule)
    with whole_folder(workspace.packed(dataset)) as folder:
        write_manifest(folder / "manifest.parquet", manifest_rows(good, splits, packed.sizes))
        if rule.skip:
            write_text(folder / "skipped.txt", "\n".join(sorted(rule.skip)) + "\n")
        for shard in shards:
            shard.path.replace(folder / shard.path.name)
    shutil.rmtree(work)
    workspace.problems(dataset).unlink(missing_ok=True)


def _annotations(
    read: Callable[[Path], list[Annotation]], raw: Path, problems: Problems, listing: Path
) -> list[Annotation]:
    """Return what can be read, each image once; notes what is wrong with it, or with the whole."""
    try:
        found = read(raw)
    except BadDataError as error:
        problems.shared += error.problems
        if not error.readable and len(error.problems) <= NAMED:
            raise  # its sentence says all
        if not error.readable:
            problems.complain(listing)
        found = list(error.readable)
    once: dict[str, Annotation] = {}
    for item in found:
        first = once.setdefault(item.image_id, item)
        if first is not item:
            said = f"{item.image_id}: stands in {item.split} too, beside {first.split}"
            once[item.image_id] = first._replace(problem=said)
    return list(once.values())


def _kept(annotations: list[Annotation], skip: list[str], key: str) -> list[int]:
    """Return the places of the images that are not skipped."""
    skipped = set(skip)
    unknown = sorted(skipped - {item.image_id for item in annotations})
    if unknown:
        named = first_few([repr(image_id) for image_id in unknown])
        raise UserError(f"params.yaml: {key}: the data set has no image {named}")
    return [place for place, item in enumerate(annotations) if item.image_id not in skipped]
