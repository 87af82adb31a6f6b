"""Pixels and labels in files -> Examples: parsers, discovery of the files, and the two ExampleGens."""
