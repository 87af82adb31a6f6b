"""The pages of the model server: read only, beside TensorFlow Serving's interfaces and never in their way.

In: a `Site`, which is the root, the model's name and the service that predicts. Out: HTML, and the same as JSON for some.
A page is a row of the table in `routes`, a module that returns what it shows as a frozen value, and a template in the frame
of `shell`. What blocks, such as reading records, runs in `await site.run(...)`, on threads of the pages' own; what takes
longer than a page may, such as an audit, in `background`.
"""
