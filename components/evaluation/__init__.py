"""The Evaluator: metrics.json, verdict.json and a blessing for a candidate beside its baseline.

`component` declares the node. `executor` measures as `eval_config` says, by `metrics`: in a `single_pass` where this machine
works alone, else by TFMA's Beam pass, through `extraction`. `results` reads what was measured, `thresholds` decides. All but
executor, extraction, metrics and single_pass are free of TensorFlow.
"""
