"""Is what is served what the records say? Everything is hashed and parsed; nothing is loaded, no link is followed.

In: a root, and what an auditor keeps elsewhere: a ledger head, a public key, a policy. Out: three verdicts, each with its
findings and with what was not compared: INTEGRITY where bytes are not what was recorded, COMPLETENESS where something is
missing or two witnesses disagree, POLICY where a rule is broken.

The way goes upstream, and `audit` puts it together:

    evidence         ledger and records behind the push, as far as they can be read
    served           the bytes that a server reads, against the statement beside them
    ancestors        records, artifacts and copies of data behind them
    ledger_check     the chain, and the push of this version in it
    metadata_check   ML Metadata, read in a process of its own
    rules            the policy

The witnesses are the statement, the records that it names by hash, the ledger that chains them, and the metadata store.
Statement and records are enough to audit with. Whoever can rewrite all of them alike is caught only by an anchor kept
elsewhere: a ledger head, or a signature.

The audit is independent of the packages whose answers it checks. `evidence` reads ledger and records
itself: every other reader stops at the first bad one, which here is a finding that must not hide the next. `served` takes
the files from the folder and not from the serving directory's listing, and `ledger_check` chooses among the pushes of a
version by the statement that is served, not by their order. Formats, the commit that goes with a push (`Chain.pushes`),
the walk and the comparison of files are shared with the rest: a second implementation of them would prove nothing more.
"""
