"""Changes to a root outside a run.

In: a root, which `root.lock.exclusive_lock` holds and in which no run is active (but for `stop`). Out: the same root, with records, ledger
and served versions in agreement.

    recovery   settle what a killed run or push left, comparing bytes first; every run and rollback begins with it
    repair     the same on demand, and what cannot be settled, named
    rebuild    write a lost ML Metadata store again from the records
    orphans    list what is served, recorded or stored without its counterpart
    gc         remove artifacts that nothing refers to
    promotion  put a staged version into service, under the number that it has
    rollback   serve an older version again under a new number
    prune      remove older served versions
    stop       end a run at work, which records what is done
    push_record
               the record of a push that no run made, for rollback and recovery
"""
