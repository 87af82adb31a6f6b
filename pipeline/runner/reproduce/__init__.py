"""A served version trained again from its records, and compared with the one that is served.

In: a version, its code and its data. Out: the same bytes, or the first difference and its size.
"""
