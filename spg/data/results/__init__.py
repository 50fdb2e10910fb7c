"""Readers of what stages leave: tables, maps, tensors, columns, the record of a training.

Enters: files of runs/, maps/, sweep/ and eval/. Leaves: arrays and tables, or one sentence about a
damaged file. Imports: project.
"""
