"""Beam's engines as a run uses them: workers, job services, and the jobs on a cluster.

In: the checked arguments of `pipeline.config.beam`. Out: results of jobs, or one line; no job and no process is left behind.

    pool          a pool of worker processes, which `portable` and `mnist-tfx beam-pool` offer
    worker        one process of it
    job_service   Beam's own job service for `portable`, in a process that ends with the run
    cluster       Beam's runners for Flink and Spark, whose jobs end with the run that waits for them
    cancellation  what becomes of a job that nobody waits for any more
    watching      whether a cluster takes a job, and what it waits for
    failures      a failed job in one line
"""
