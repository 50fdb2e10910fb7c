"""Stage report: tables, figures, executed notebooks and the page, from what compare wrote.

Enters: reports/DATASET/*.csv, maps and images. Leaves: the rest of reports/DATASET. Imports:
compare, evaluate, images, results, project; never torch.
"""
