"""Questions about served versions: show one, trace it upstream, find what a file or picture went into, compare, export.

In: a root's records; never TensorFlow. Out: answers that are yes, no, or cannot tell.
"""
