"""The Evaluator: metrics.json, verdict.json and a blessing for a candidate beside its baseline.

`component` declares the node. `executor` runs TFMA as `eval_config` says, through `extraction` and `metrics`; `results`
reads what TFMA measured, `thresholds` decides. All but executor, extraction and metrics are free of TensorFlow.
"""
