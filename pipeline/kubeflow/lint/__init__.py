"""Linter of compiled files: `check` runs the rules, each of which finds `fault`s.

The rules: `form` of the file and its `fields`, `graph` of tasks and their `values`, `containers` and what they run, what
Kubernetes is asked for (`platform`), and the `volumes` that the tasks read from.
"""
