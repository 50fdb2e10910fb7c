"""Methods: one file each, found by name.

A method file defines ``build(stem, num_classes, params, cell)`` and returns a model and a
criterion. The model maps images to a named tuple of raw tensors that has at least ``logits``
(``Tensor[B, K]``) and ``class_maps`` (``Tensor[B, K, h, w]``); the criterion maps that tuple and
the labels to a dict of named losses, which the training loop sums once.
"""
