"""A run on this machine: plan each stage, reuse or execute it, record it, report progress.

In: a `PipelineConfig`. Out: a run record, and a served version or the reason why there is none.
"""
