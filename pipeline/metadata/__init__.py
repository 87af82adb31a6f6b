"""ML Metadata: the address of a store, its lock, and every access to it, the audit's included.

In: an address (`--metadata`) and the records of a root. Out: a store that agrees with the ledger, or one line that says
why not. The records are the evidence; the store is one more witness, and what other tools read. `reader` reads a store
for the audit in a process of its own, since ML Metadata's library can abort the process that uses it.
"""
