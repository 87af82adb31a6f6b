"""Is what is served what the records say? Everything is hashed and parsed; nothing is loaded, no link is followed.

In: a root, and what an auditor keeps elsewhere: a ledger head, a public key, a policy. Out: three verdicts, each with its
findings and with what was not compared: INTEGRITY where bytes are not what was recorded, COMPLETENESS where something is
missing or two witnesses disagree, POLICY where a rule is broken.

The way goes upstream, and `audit` puts it together:

    evidence         ledger and records behind the push, by way of `files` (plain files alone, hashed in threads)
    served           the bytes that a server reads, against the statement beside them
    ancestors        records, artifacts and copies of data behind them
    ledger_check     the chain, and the push of this version in it
    metadata_check   ML Metadata, read in a process of its own
    rules            the policy

The witnesses are the statement, the records that it names by hash, the ledger that chains them, and the metadata store.
Statement and records are enough to audit with. Whoever can rewrite all of them alike is caught only by an anchor kept
elsewhere: a ledger head, or a signature.
"""
