"""The command line: one module per command, and what commands share: parsing, parameters, options, output.

In: a user's words. Out: text or JSON, and the exit code, which follows from the outcome in one place. Commands check what
they are given and call the other packages; they decide nothing that another caller would have to decide again.
"""
