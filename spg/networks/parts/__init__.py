"""What networks are made of: the contract of stems, heads, losses, building, model files.

Enters: features or images. Leaves: modules, losses, state dicts on disk. Imports: inputs, compute,
project.
"""
