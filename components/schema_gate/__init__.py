"""Anomalies, statistics, profiles and the row index of each split, against a reviewed reference -> schema, or stop.

`evidence` reads the artifacts, `rules` judges them without touching a file, `cause` guesses what happened to images that
drifted, `component` is the TFX node.
"""
