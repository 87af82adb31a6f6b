"""ML Metadata: the address of a store, its lock, and everything that reads from it or writes to it.

In: an address (`--metadata`) and the records of a root. Out: a store that agrees with the ledger, or one line that says
why not. The records are the evidence; the store is one more witness, and what other tools read.
"""
