"""SchemaGate: judges each split against a reviewed reference, and passes the schema on or stops the run.

`evidence` reads the artifacts, `rules` judges them without touching a file, `cause` guesses what happened to images that
drifted, `diagnosis` says what a refusal comes from and what mends it, `component` is the TFX node.
"""
