"""What is written about a run: records, the hash-chained ledger, the in-toto statement of a served version, signatures.

In: the inputs, properties and outputs of an execution. Out: immutable records named by their own SHA-256, and one reader
for each kind of file, which checks what it reads. Nothing here imports TensorFlow or opens ML Metadata.

    records, record_store     one execution or run; the folder that keeps them
    ledger, ledger_writer     read: the order of events and which push made a version; append: one line per event
    statement, candidate      what a served version carries beside the model; written for a version about to be pushed
    code, git                 the digest of a node's code, the commit it came from
    dsse, keys, signing       signed statements
    ancestry, file_check      the walk from a version to its data; files compared with what was recorded of them
"""
