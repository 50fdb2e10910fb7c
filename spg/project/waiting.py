"""How OpenMP's threads wait for each other at the end of every layer: a moment awake, then asleep.

By default they wait spinning, which takes whole cores away from whatever else computes on the
machine; asleep at once, they lose a third of their speed where nothing else does. A thousand turns
lose a twentieth alone and leave others their share (docs/scaling.md has the measurement). torch
reads the variable when it is loaded, so it is set before any room is (``spg/__init__.py``). It
changes no result.
"""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")
