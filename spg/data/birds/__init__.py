"""Drawn birds: species, poses, plumage, background, and the masks of what tells species apart.

Enters: a seed and species. Leaves: images as arrays, with exact masks. Imports: project.
"""
