"""When does guidance help? The headline pair where other parts of the birds tell their species.

Enters: results of the default. Leaves: reports/DATASET/telling/. Imports: the rooms of a cell's
stages, statistics, tools/effect.
"""
