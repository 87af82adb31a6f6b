"""Everything around the TFX components of `components`: the pipeline they form, its runs, their records and the audit.

A *stage* is a row of `stages.py`; its component is in `components`; in a pipeline it is a *node*, and each time that a node
runs is an *execution*, which leaves one record. A *root* is the folder that one pipeline works in, a *version* what it serves.

`ls` is the architecture. A package imports only from those above it in this list, and import-linter enforces that:

    process      signals, standard streams and child processes of every command
    root         the folder that a pipeline works in: paths, lock, identity
    stages.py    the table of stages, one row per stage
    datasets     fetch data (MNIST, UCI digits); propose and review a schema for new data
    provenance   records, ledger, in-toto statement, signatures, code digests, git state
    metadata     ML Metadata: address, lock, read, write
    config       recipe and command-line options, resolved into a `PipelineConfig`
    pipeline.py  `create_pipeline`: the TFX pipeline of a configuration
    audit        is what is served what the records say?
    lineage      questions about a version: show, trace, impact of a file or picture, diff, export and drawings
    maintenance  crash recovery, repair, rebuild, garbage collection, rollback, pruning
    report       the HTML report of a run
    runner       a local run: plan, execute, record, report progress; reproduce a version
    predict      answers of served versions: digits read from photographs, and the model server
    kubeflow     compile, lint, simulate, submit, run in a pod, gather
    cli          one module per command
"""
