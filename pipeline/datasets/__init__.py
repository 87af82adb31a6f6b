"""Data before any run: fetch it, propose a schema and reference statistics for it, have them reviewed.

In: the name of a data set, or a folder of clean data. Out: IDX files, or a schema with its reference and thresholds.
"""
