"""`spg score`: anybody's maps under the same evaluators.

Enters: .npy maps and wsolevaluation's metadata. Leaves: numbers and a table. Imports: evaluate,
metrics, layouts, project.
"""
