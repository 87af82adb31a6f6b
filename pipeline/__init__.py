"""The pipeline around the stages of `components`: joined, run, recorded, audited, compiled for clusters.

`ls` is the architecture. Imports run one way, from the last of these rooms to the first (import-linter holds it):

    process      signals, standard streams and child processes of any command
    root         the folder a run works in: paths, lock, identity
    stages.py    the stages, a row each
    datasets     fetch data; propose and review a schema for it
    provenance   what is written: records, ledger, statement, signatures, the state of code and git
    metadata     ML Metadata: address, lock, read, write
    config       recipe and options, resolved into a `PipelineConfig`
    pipeline.py  `create_pipeline`: the stages, joined
    audit        is what is served what the records say?
    lineage      questions: show, trace, impact, diff, rows, export
    maintenance  recover, repair, rebuild, gc, roll back, prune
    report       the page of a run
    runner       plan, execute, record, report progress, reproduce
    predict      ask a served version about a picture
    kubeflow     compile, lint, simulate, run in a pod, submit, gather
    cli          one module to a command
"""
