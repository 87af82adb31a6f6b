"""The model server: TensorFlow Serving's REST and gRPC interfaces over the versions of one root, each verified before it is loaded.

In: requests, and the pushes, promotions, rollbacks and prunes that change the serving directory. Out: answers of the newest
versions whose bytes the ledger, the manifest and, where demanded, a signature or an approval vouch for.

    serve, versions, verification   the process; the versions that are loaded; the check of each before it is
    rest, grpc_api, service         the two protocols, and what they share
    model, batching, memory         a loaded version; requests answered together; memory given back
    body, bounded, deadline, tokens bounds of size and time; who may ask
    metrics, sampling, openapi      for Prometheus; for `serving monitor`; for clients
    pages                           HTML pages of the root, read only
"""
