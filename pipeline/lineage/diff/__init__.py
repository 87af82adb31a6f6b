"""What differs between two served versions: settings, code, data row by row, and trained weights.

In: the records of two versions. Out: their differences, in the order in which they came about.
"""
