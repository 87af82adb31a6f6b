"""Data before any run: fetch it, inspect it, import it, propose a schema and reference statistics for it, have them reviewed.

In: the name of a data set, or files that somebody brings. Out: IDX files, a report of what would be read, or a schema with
its reference and thresholds. `imports` makes IDX files of pictures, arrays and tables that a run does not read directly.
"""
