"""The pipeline on Kubeflow Pipelines and on Vertex AI: compiled from the one definition, tried here, run and audited there.

    compiler   `create_pipeline` -> a file that a cluster runs (TFX's own compiler, and what it leaves out)
    lint       a compiled file -> what a cluster would refuse
    simulate   a compiled file -> executed here, task by task, as KFP's driver and launcher would
    client     a compiled file -> a run or a schedule on a cluster, through kfp's client
    entrypoint -> pod   what every container runs: one node, recorded
    gather     what pods left in a bucket (`mirror`, `copies`) -> an ordinary root, for `lineage`

`document` is a compiled file read back, `names` what all of them call things, `places` where URIs lie in a pod.
"""
