"""Methods: one file (or package) each, found by name.

A method has

- ``Settings``, a strict pydantic class that reads the section of params.yaml of the method's name;
- ``POOLS``, the kind of max-pools it wants of a stem (:data:`spg.networks.parts.stem.Pools`);
- ``build(stem, settings, task)``, which returns a model and a criterion; ``task`` is a
  :class:`spg.networks.parts.stem.Task`.

The model maps images to a named tuple of raw tensors that has at least ``logits``
(``Tensor[B, K]``) and ``class_maps`` (``Tensor[B, K, h, w]``). It is also given the labels, of
which a method may make use (ACoL erases the attention of the label's class); without them it goes
by its own first guess. A model of which tests need only a part has a property ``tested`` that is
this part. The criterion maps the tuple and the labels to a dict of named losses, which the training
loop sums once.
"""
