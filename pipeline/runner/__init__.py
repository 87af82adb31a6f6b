"""A run on this machine: plan each node, reuse or execute it, record it, report progress.

In: a `PipelineConfig`. Out: a run record, and a served version or the reason why there is none.

    local        the whole command: what can be done beside TFX's slow import is done beside it
    up_to_date   whether the newest version was made from exactly this already
    compiled     the compiled pipeline, node by node
    planner      whether a node's recorded outputs can be reused, by its key
    run          every node launched or reused, and accounted for in every outcome
    execution    one node: intent in the ledger, the executor's work, its record
    beam         Beam's engines: pools, job services, jobs on a cluster
    sweep        candidates, one after another or `side_by_side`, of which the best is pushed
    reproduce    a served version trained again and compared
"""
