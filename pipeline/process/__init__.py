"""What a process of ours owes its surroundings: signals, standard streams, temporary files, and children that end with it.

In: nothing but the process itself. Out: `signals.PROCESS`, which every command installs first, and the fork server in
which executors run.
"""
