"""Stage fetch: raw data, downloaded and verified, indexed where they lie, or drawn.

Enters: archives of the user or of the network. Leaves: data/raw/DATASET, whole or not at all.
Imports: layouts, project; which source it calls is named in params.yaml.
"""
