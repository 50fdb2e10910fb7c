"""`spg score`: anybody's maps under the same evaluators.

Enters: .npy maps, wsolevaluation's metadata, guessed classes. Leaves: numbers and a table.
Imports: evaluate, metrics, layouts, project.
"""
