"""Extractors: one file each, found by name.

An extractor file defines ``extract(model, images, class_ids, outputs)``: raw maps
``float32 [B, h, w]`` of the given class of each image, from a trained model in evaluation mode
whose state it leaves as it was; ``outputs`` is what ``model(images)`` returned, without gradient,
for those that need no more. Each image's map depends on that image alone.
"""
