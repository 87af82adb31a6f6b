"""Changes to a root outside a run: recover after a crash, repair, rebuild, collect garbage, roll back, prune.

In: a root in which no run is active. Out: the same root, in which records, ledger and served versions agree.
"""
