"""Kinds of data set, one file each: ``datasets.<name>.source.kind`` names the file.

Each has ``SPEC``, a :class:`spg.data.layouts.spec.DatasetSpec`: every fact of the data set that a
stage or tool needs. How the raw data are got is the file of the same name in spg/data/sources.
"""
