"""What is measured of a map besides boxes, one file each: ``sweep.measures`` names the files.

A measure has ``COLUMNS``, the names of its numbers, and ``measure(loc_map, image)``, which returns
them by name: ``loc_map`` is the map in the original image's size, ``Float[H, W]`` in [0, 1], and
``image`` a :class:`spg.evaluate.sweep.image.Image`. A number is a fraction, or ``None`` where the
data set does not say what it takes, such as masks. Its mean over the test images follows into
metrics.json, and over the seeds into energy.csv of the report.
"""
