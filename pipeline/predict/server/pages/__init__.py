"""The pages of the model server: read only, beside TensorFlow Serving's interfaces and never in their way.

A page is a route of `routes.routes(site)`. What comes in is a `Site`: the root, the model's name and the service that
predicts; what blocks, such as reading records, runs in `await site.run(...)`, on threads of the pages' own.
"""
