"""From packed images to batches: geometry, colors, order, each process its share.

Enters: images and labels. Leaves: batches of bytes, normalized on the device, the same for any
number of workers and processes. Imports: compute, project.
"""
