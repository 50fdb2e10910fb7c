"""Published checkpoints in and out: names, shapes, orders of classes, torch's own files.

Enters: a file of the authors or of wsolevaluation, or a cell. Leaves: the other one. Imports:
images, layouts, results, parts, train, project.
"""
