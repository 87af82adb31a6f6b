"""The pipeline and a cluster's resources -> a compiled file.

`stock` has TFX's own compiler write what it can. `data_tasks` adds the tasks before ExampleGen, `lineage_channels` what
hands the records on, `containers` command, environment and resources, `platform_document` volumes and secrets.
"""
