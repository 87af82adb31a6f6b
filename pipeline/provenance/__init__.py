"""What is written about a run: records, the hash-chained ledger, the statement inside a served version, signatures.

In: what an execution was given and what it left. Out: immutable records named by their own digest, and one reader for
each kind of file, which checks what it reads. Nothing here imports TensorFlow or opens ML Metadata.
"""
