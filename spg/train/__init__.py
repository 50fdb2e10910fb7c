"""Stage train: from stem weights and image labels to a model.

Enters: packed images and stem weights. Leaves: runs/CELL: model, history, snapshots, provenance.
Imports: images, inputs, compute, parts, project.
"""
