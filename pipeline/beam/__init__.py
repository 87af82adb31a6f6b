"""Where the nodes that are Beam pipelines run: an engine by name, its options, and the service of the portable one.

`engines` is the table of what can be asked for, `options` what one entry of it looks like, `choice` the way from a
request to Beam's arguments. `job_service` belongs to a run that asked for `portable`.
"""
