"""What every command needs as a process: signals, standard streams, temporary files, and children that end with it.

Imports nothing of `pipeline`. `signals.PROCESS` is installed before anything else and holds signals back while something
is visible but not yet recorded; executors run in forks of `forkserver`, which has imported TensorFlow once.
"""
