"""Backbones: one file each, found by name.

A backbone file defines ``build(width)``, which returns a :class:`spg.stem.Stem`, and for published
weights ``PUBLISHED_URL`` and ``DROPPED``, the name prefixes of the layers behind the cut.
"""
