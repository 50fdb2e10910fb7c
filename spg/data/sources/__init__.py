"""Where raw data come from, one file a kind: ``datasets.<name>.source.kind`` names the file.

Each has ``fetch(workspace, dataset, source)``, which leaves the raw data of ``dataset`` in
``workspace.raw(dataset)``, whole or not at all. ``source`` is what the SPEC's class has read of
params.yaml (spg/data/datasets).
"""
