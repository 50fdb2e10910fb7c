"""Stage localize: a trained cell's class scores and raw maps, by the extractors on its shelf.

Enters: a model and packed images. Leaves: maps/CELL. Imports: images, inputs, compute, parts,
project.
"""
