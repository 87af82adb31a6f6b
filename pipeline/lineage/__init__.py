"""Records of what was run: written beside every execution, chained in a ledger, read without TensorFlow or TFX.

artifacts (what lies on disk) -> records (what was run; `record_files` keeps them) -> ledger (in which order; `chain`
reads it) -> manifest (what a served version carries) -> graph, served (back from a version to its data) -> render.

What is read back: `audit/` proves a version, `signing` vouches for it, `trace`, `impact` and `row_proofs` follow content,
`diff` compares, `exports/` and `drawing/` tell it to others; `orphans`, `repair`, `gc` and `rebuild` keep house.
"""
