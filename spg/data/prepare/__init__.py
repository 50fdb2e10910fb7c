"""Stage prepare: raw data are packed and split.

Enters: data/raw/DATASET. Leaves: data/packed/DATASET. Imports: images, layouts, project.
"""
