"""What the normalization of maps changes: all cells measured again under each of the four.

Enters: maps/ and eval/ of a data set. Leaves: reports/DATASET/normalizations/. Imports: evaluate,
compare, the links of the effects; never trains.
"""
