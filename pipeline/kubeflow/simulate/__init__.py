"""Simulator of Kubeflow Pipelines and Vertex AI: executes a compiled file on this machine, task by task.

`run` puts the tasks in order. What becomes of one is split as on a cluster: `driver` resolves its inputs, asks `cache`
and names its outputs; `launcher` (for an importer, `importer`) downloads, has `pod` run the command in a process of its
own, and uploads; `metadata` keeps what they register. `dialect` holds what differs between the two platforms, and
`submission` refuses what their servers refuse. `outcome` makes the root one that `mnist-tfx lineage` reads.

The rules are those of kubeflow/pipelines, backend/src/v2; each module names the file that it follows.
"""
