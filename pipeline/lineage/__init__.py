"""Records of what was run: written beside every execution, chained in a ledger, read without TensorFlow or TFX.

artifacts (what lies on disk) -> records (what was run; `record_files` keeps them) -> ledger (in which order; `chain`
reads it) -> manifest (what a served version carries) -> graph, served (back from a version to its data) -> render.
"""
