"""Ingestion of pixels and labels in files: parsers, discovery of the files, and the two ExampleGens."""
