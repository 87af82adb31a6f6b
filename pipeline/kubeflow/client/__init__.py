"""Client of a cluster: runs and schedules of compiled files, all of it through `kfp.Client`.

`connection` makes one whose every request ends and whose every failure is one line (`transport`). `submission` starts
runs, `schedules` recurring ones, `cluster_runs` lists them, `audit` asks for a run and audits what it pushed.
"""
