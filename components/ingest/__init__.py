"""Ingestion of pixels and labels in files: parsers, discovery of the files, and an ExampleGen to each form."""
