"""What a published number is made of: maps, boxes, rules, thresholds, pixels, as pure functions.

Enters: arrays. Leaves: arrays and numbers, with units and ranges in every docstring. Imports
nothing of spg.
"""
