"""Stage classify: another classifier's scores of the test images (paper, Table 3).

Enters: packed images. Leaves: runs/DATASET/classifier-NAME.parquet. Imports: images, inputs,
layouts, compute, parts, project.
"""
