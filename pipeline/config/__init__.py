"""What one run is configured to do: recipe, profile, overrides, data, schema, Beam engine and code, resolved and frozen.

In: the options of a command. Out: a `PipelineConfig`, or every problem with the options at once.
"""
