"""The pipeline on Kubeflow Pipelines and Vertex AI: compiled from the one definition, tried here, run and audited there.

In: a `PipelineConfig` and a file that describes a cluster. Out: a file that the cluster runs, and its run as a local root.

    compiler     TFX's own compiler, and what it leaves out
    lint         what a cluster would refuse in a compiled file
    simulate     executes a compiled file here, task by task, as KFP's driver and launcher do
    client       starts, schedules and lists runs on a cluster, through kfp's client
    entrypoint   the command of every container; `pod` does its work: one node, recorded
    gather       turns what pods left in a bucket into an ordinary root
    document     a compiled file read back
    names, places  names that all of these share; where URIs are mounted in a pod
"""
