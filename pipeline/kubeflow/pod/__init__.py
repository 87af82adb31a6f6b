"""What happens in a container: KFP's invocation in, a recorded node's outputs where the launcher looks for them.

`invocation` reads what KFP sent, `upstream` what is recorded of the inputs, `node` does the work in a root of the pod's
own with `executor`, which is TFX's, and `delivery` hands over what came out. `data_driver` is the task before ExampleGen.
"""
