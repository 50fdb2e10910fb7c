"""Stage compare: all cells beside the paper, with intervals and verdicts.

Enters: eval/DATASET and paper.yaml. Leaves: CSV tables and summary.json in reports/DATASET.
Imports: evaluate, statistics, images, results, project.
"""
