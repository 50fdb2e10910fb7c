"""A method's settings drawn many times, each a DVC experiment; the best by held-out images.

Enters: search/params.yaml. Leaves: experiments, reports/DATASET/search/BACKBONE-METHOD.csv, the
choice in params.yaml. Imports: evaluate, statistics, project; DVC does the rest.
"""
