"""The pipeline on Kubeflow Pipelines and Vertex AI: compiled from the one definition, tried here, run and audited there.

In: a `PipelineConfig` and a cluster's particulars. Out: a file that a cluster runs, and later its run as a local root.

    compiler     TFX's own compiler, and what it leaves out
    lint         what a cluster would refuse in a compiled file
    simulate     a compiled file executed here, task by task, as KFP's driver and launcher would
    client       runs and schedules on a cluster, through kfp's client
    entrypoint   what every container runs: one node, recorded (`pod`)
    gather       what pods left in a bucket, as an ordinary root

`document` reads a compiled file, `names` has what all of them call things, `places` where URIs are mounted in a pod.
"""
