"""A cluster's run brought home: records, ledger and artifacts of its pods as one local root that can be audited.

In: the bucket or folder that the pods wrote to. Out: a root like that of a local run.
"""
