"""Stage sweep: everything about a cell's maps that no chosen threshold changes.

Enters: maps/CELL and packed images. Leaves: sweep/CELL. Imports: metrics, images, results,
project.
"""
