"""The command line: one module to a command, and what they share: parsing, parameters, options, output.

In: a user's words. Out: text or JSON, and an exit code. Nothing is decided here that another caller would need.
"""
