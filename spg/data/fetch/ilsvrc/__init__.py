"""ILSVRC 2012 as its owners keep it: image-net.org's archives or Kaggle's tree.

Enters: either of the two. Leaves: a Release, the same for both.
"""
