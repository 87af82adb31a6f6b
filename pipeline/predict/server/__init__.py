"""The model server: TensorFlow Serving's REST and gRPC interfaces over the versions of one root, each verified before it is loaded.

What comes in are requests, and the pushes, rollbacks and prunes that change the serving directory. What goes out are the
answers of the newest versions whose bytes the ledger, the manifest and, where asked for, a signature vouch for.
"""
