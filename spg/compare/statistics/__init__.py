"""Intervals and tests as pure functions of arrays.

Enters: Float[S, N], seeds by images. Leaves: numbers. Imports nothing of spg.
"""
