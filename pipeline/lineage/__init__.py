"""Questions about served versions: show one, trace it upstream, find what a file or picture went into, compare, export.

In: the records of a root. Out: answers that are yes, no, or cannot tell. Nothing here imports TensorFlow. `rows` is about
single images and proofs of their use, `diff` about two versions, `export` about other tools' formats and drawings.
"""
