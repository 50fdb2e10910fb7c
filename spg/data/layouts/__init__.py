"""Layouts of raw data: CUB's tables, ILSVRC's index, wsolevaluation's metadata, and what a SPEC is.

Enters: a raw folder. Leaves: one Annotation an image. Imports: images, project.
"""
