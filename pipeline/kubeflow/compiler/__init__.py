"""Compiler of the pipeline, with a cluster's resources, for Kubeflow Pipelines and Vertex AI.

`stock` has TFX's own compiler write what it can. `data_tasks` adds the tasks before ExampleGen, `lineage_channels` what
hands the records on, `containers` command, environment and resources, `platform_document` volumes and secrets.
"""
