"""Whole files that people really have: right, odd or wrong, with what is to be made of them.

``tests/fuzzing.py`` damages the bytes of good files; here the bytes are good and mean something
else. Each module makes one kind at random and knows the truth about what it made: it compares it
with what spg reads, and a difference is an ``AssertionError``.
"""
