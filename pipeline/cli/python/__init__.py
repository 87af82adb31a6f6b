"""The command line from Python: the classes and functions that `mnist_tfx` exports.

In: the same options as on the command line, and a root. Out: answers as objects. A run is the command in a process of its
own, so that a caller's process keeps its signals, its streams and its imports; questions are answered in the caller's.
"""
