"""Stage compare: all cells beside the paper, with intervals and verdicts.

Enters: eval/, sweep/ and runs/DATASET, the manifest and paper.yaml. Leaves: CSV tables and
summary.json in reports/DATASET.
Imports: evaluate, statistics, images, results, project.
"""
