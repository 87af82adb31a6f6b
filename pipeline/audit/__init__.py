"""The bytes that a server reads -> three verdicts on where they came from, and the first broken link if one is broken.

Everything is hashed and parsed; nothing is loaded, and no symlink is followed. The way goes upstream:

    subject (which directory, which root)
    evidence (ledger, records behind the push)  <- files (plain files alone, hashed in threads)
    served_bytes -> behind (records, artifacts, data copies) -> history (ledger, push) -> store (ML Metadata) -> rules

Each of these yields `findings`: INTEGRITY where bytes are not what was recorded, COMPLETENESS where something is
missing or two witnesses disagree, POLICY where a rule is broken. `run` puts them together.

The witnesses are the manifest beside the served bytes, the records that it names by hash, the ledger that chains
them, and the metadata store. Records and manifest are enough to audit with; the store is a further witness that has
to agree. Whoever can rewrite all of them alike is found out only by an anchor kept elsewhere: a ledger head, or a
signature.
"""
