"""Stage weights: a stem's weights, published (verified), pre-trained on drawn birds, or random.

Enters: a backbone. Leaves: weights/BACKBONE.safetensors. Imports: birds, inputs, parts, train.
"""
