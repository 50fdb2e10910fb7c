"""The sections of params.yaml as strict models: every key is named here, with its range.

Two kinds of section are read elsewhere, by whoever owns them: that of a method beside SPG, by the
``Settings`` of its file in spg/networks/methods, and a data set's ``source``, by the class that its
SPEC in spg/data/datasets names. A new method or data set changes nothing here.

Nothing has a default: what changes a published number stands in params.yaml with its source.
"""
