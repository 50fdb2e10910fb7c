"""What a disputed choice changes: cells trained again under other settings, compared by image.

Enters: results of the default. Leaves: reports/DATASET/effects/NAME.json. Imports: the rooms of a
cell's stages, statistics.
"""
