"""Packed images and their manifest: the one form in which every later stage has them.

Enters: encoded images and annotations. Leaves: Arrow shards and manifest.parquet, and their
readers. Imports: project.
"""
