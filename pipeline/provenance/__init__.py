"""What is written about a run: records, the hash-chained ledger, the in-toto statement of a served version, signatures.

In: the inputs, properties and outputs of an execution. Out: immutable records named by their own SHA-256, and one reader
for each kind of file, which checks what it reads. Nothing here imports TensorFlow or opens ML Metadata.

    records, record_store     one execution or run; the folder that keeps them
    recording, results        the builders of execution records and of run records
    runs, at_work, attempts   runs as records name them; those at work now; executions that an orchestrator repeated
    accuracy, choice          what a run recorded of its model's accuracy; the sweep that a model was chosen in
    ledger, ledger_writer     read: the order of events and which push made a version; append: one line per event
    serving_directory,        the versions in service, and those that wait for promotion, as the ledger knows them
      staged_directory
    statement, candidate      what a served version carries beside the model; written for a version about to be pushed
    code, own_code, git       the digest of a node's code, code that the user brings, the commit
    dsse, keys, signing       signed statements
    approvals,                who approved which bytes, and the list of approvers' keys; the lines that say so; the
      approval_writer,          approval of a reviewed schema
      schema_approvals
    ancestry, file_check      the walk from a version to its data; files compared with what was recorded of them
"""
