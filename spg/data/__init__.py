"""Data, from archives to what a network sees; each package inside is a room of its own.

birds draws, layouts reads, datasets knows the facts, sources gets, fetch and prepare are stages,
images is what they leave, inputs feeds networks, results is what later stages leave.
"""
