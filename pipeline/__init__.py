"""How stages are joined, run, compiled and audited.

`recipes` and `configure` resolve what was asked for, `pipeline` joins the stages, `runner` runs them, `lineage` records and reads what was run,
`cli` is the command line. `components` holds what the stages do.
"""
