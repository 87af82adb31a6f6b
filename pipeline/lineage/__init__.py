"""Records of what was run: written beside every execution, chained in a ledger, read without TensorFlow or TFX."""
