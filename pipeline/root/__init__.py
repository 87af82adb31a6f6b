"""The folder that a pipeline works in: its paths, its identity, and the lock that one run at a time holds.

In: a path that a user named. Out: `RunPaths` of a folder in which a pipeline can run, everything in it writable.
"""
