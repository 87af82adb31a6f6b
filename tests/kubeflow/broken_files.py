"""What can be wrong with a compiled file -> a change that brings it about, and the rule that has to find it."""

import json


def tasks(document):
    return document.spec["root"]["dag"]["tasks"]


def container(document, name):
    return document.spec["deploymentSpec"]["executors"][f"{name}_executor"]["container"]


def component(document, name):
    return document.spec["components"][name]


def renamed(old, new):
    def change(document):
        text = json.dumps(document.spec).replace(f'"{old}"', f'"{new}"')
        document.spec.clear()
        document.spec.update(json.loads(text))

    return change


def extended(name, field, *more):
    def change(document):
        container(document, name).setdefault(field, []).extend(more)

    return change


def platform(document):
    return document.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def triggered(condition):
    def change(document):
        tasks(document)["ExampleGen"]["triggerPolicy"] = {"condition": condition}

    return change


def without_volumes(document):
    platform(document).clear()


def served_from(path):
    def change(document):
        args = container(document, "Pusher")["args"]
        args[args.index("--serving") + 1] = path

    return change


BROKEN = {
    "arguments that are no list": (lambda d: container(d, "Pusher").update(args={"a": 1}), "messages"),
    "a field of another type": (lambda d: tasks(d)["Pusher"].update(cachingOptions=[3]), "messages"),
    "no inputs at all": (lambda d: tasks(d)["Pusher"].update(inputs=None), "required-inputs"),
    "data in another bucket": (
        lambda d: d.spec["deploymentSpec"]["executors"].update(
            ExampleGen_executor={"importer": {"artifactUri": {"constant": "minio://lake/x"}}}
        ),
        "other-bucket",
    ),
    "no task at all": (lambda d: d.spec["root"]["dag"].update(tasks={}), "no-tasks"),
    "a task named as the graph": (renamed("Pusher", "root"), "task-name"),
    "a task of a long name": (renamed("Pusher", "b" * 122), "task-name"),
    "a variable without a name": (extended("Pusher", "env", {"value": "a"}), "variables"),
    "a placeholder of Argo's in a variable": (
        extended("Pusher", "env", {"name": "A", "value": "{{workflow.name}}"}),
        "placeholders",
    ),
    "a placeholder of Argo's in an argument": (extended("Pusher", "args", "{{inputs.parameters.x}}"), "placeholders"),
    "a placeholder of Argo's in a default": (
        lambda d: d.spec["root"]["inputDefinitions"]["parameters"]["source"].update(defaultValue="{{tasks.X.y}}"),
        "placeholders",
    ),
    "a placeholder of Argo's in a label": (
        lambda d: platform(d)["Pusher_executor"].update(nodeSelector={"labels": {"a": "{{workflow.uid}}"}}),
        "placeholders",
    ),
    "a placeholder that is left open": (extended("Pusher", "args", "{{$.inputs.parameters["), "placeholders"),
    "an old schema version": (lambda d: d.spec.update(schemaVersion="2.0.0"), "schema-version"),
    "a name in capitals": (lambda d: d.spec["pipelineInfo"].update(name="Digits_1"), "pipeline-name"),
    "a local root": (lambda d: d.spec.update(defaultPipelineRoot="/tmp/root"), "pipeline-root"),
    "a parameter without default": (
        lambda d: d.spec["root"]["inputDefinitions"]["parameters"]["source"].pop("defaultValue"),
        "runtime-default",
    ),
    "a misspelt field of a task": (lambda d: tasks(d)["Pusher"].update(dependantTasks=["Evaluator"]), "unknown-field"),
    "a misspelt field of a field": (
        lambda d: tasks(d)["Pusher"].update(cachingOptions={"enableCaching": True}),
        "unknown-field",
    ),
    "a field that a platform document does not have": (lambda d: d.platform.update(platfroms={}), "unknown-field"),
    "another executor in the platform document": (
        lambda d: platform(d).update(Evalator_executor={"nodeSelector": {"labels": {"a": "b"}}}),
        "platform-executors",
    ),
    "a misspelt field of the platform document": (
        lambda d: platform(d)["Pusher_executor"].update(nodeSelectors={"labels": {"a": "b"}}),
        "platform-fields",
    ),
    "a misspelt field of a volume": (
        lambda d: platform(d)["Pusher_executor"]["pvcMount"].append({"constant": "a", "mountPaht": "/a"}),
        "platform-fields",
    ),
    "a volume without a path": (
        lambda d: platform(d)["Pusher_executor"]["pvcMount"].append({"constant": "a"}),
        "mounts",
    ),
    "a volume without a claim": (
        lambda d: platform(d)["Pusher_executor"]["pvcMount"].append({"mountPath": "/a"}),
        "mounts",
    ),
    "a label that is no text": (
        lambda d: platform(d)["Pusher_executor"].update(nodeSelector={"labels": {"a": 1}}),
        "platform-values",
    ),
    "labels where there is a message": (
        lambda d: platform(d)["Pusher_executor"].update(nodeSelector={"a": 1}),
        "platform-fields",
    ),
    "a list where there is a message": (
        lambda d: platform(d)["Pusher_executor"].update(nodeSelector=["a"]),
        "platform-values",
    ),
    "a policy of nobody's": (
        lambda d: platform(d)["Pusher_executor"].update(image_pull_policy="Sometimes"),
        "platform-values",
    ),
    "a field of a later server": (
        lambda d: platform(d)["Pusher_executor"].update(initContainers=[{"name": "a", "image": "a"}]),
        "platform-fields",
    ),
    "a volume in the launcher's place": (
        lambda d: platform(d)["Pusher_executor"]["pvcMount"].append({"constant": "a", "mountPath": "/kfp-launcher/"}),
        "mounts",
    ),
    "a volume below the launcher's place": (
        lambda d: platform(d)["Pusher_executor"]["pvcMount"].append({"constant": "a", "mountPath": "/s3/lake"}),
        "mounts",
    ),
    "two volumes in one place": (
        lambda d: platform(d)["Pusher_executor"]["pvcMount"].append({"constant": "a", "mountPath": "/serving/"}),
        "shared-places",
    ),
    "a claim and a Secret of one name": (
        lambda d: platform(d)["Pusher_executor"].update(
            secretAsVolume=[{"secretName": "mnist-tfx-serving", "mountPath": "/k"}]
        ),
        "shared-places",
    ),
    "a claim by parameter and a Secret of one name": (
        lambda d: platform(d)["Pusher_executor"].update(
            pvcMount=[{"pvcNameParameter": {"runtimeValue": {"constant": "a"}}, "mountPath": "/serving"}],
            secretAsVolume=[{"secretName": "a", "mountPath": "/k"}],
        ),
        "shared-places",
    ),
    "a root with a query": (
        lambda d: d.spec.update(defaultPipelineRoot="minio://mlpipeline/v2/artifacts/m?region=x"),
        "pipeline-root",
    ),
    "no task info": (lambda d: tasks(d)["Pusher"].pop("taskInfo"), "task-info"),
    "a producer that is not waited for": (
        lambda d: tasks(d)["Pusher"].update(dependentTasks=["Evaluator"]),
        "producers",
    ),
    "a parameter's producer that is not waited for": (
        lambda d: tasks(d)["ExampleGen"].pop("dependentTasks"),
        "producers",
    ),
    "a condition with an open bracket": (triggered("inputs.parameter_values['is_new' == 'true'"), "trigger"),
    "a condition with an open quote": (triggered("inputs.parameter_values['is_new'] == 'true"), "trigger"),
    "a condition on a parameter that is not there": (
        triggered("inputs.parameter_values['is_old'] == 'true'"),
        "trigger",
    ),
    "a condition on an importer": (
        lambda d: d.spec["deploymentSpec"]["executors"].update(
            ExampleGen_executor={"importer": {"artifactUri": {"constant": "s3://b/x"}}}
        ),
        "trigger",
    ),
    "a constant of another type": (
        lambda d: tasks(d)["ExampleGen"]["inputs"]["parameters"].update(
            output_data_format={"runtimeValue": {"constant": "6"}}
        ),
        "parameter-type",
    ),
    "a default of another type": (
        lambda d: d.spec["root"]["inputDefinitions"]["parameters"]["source"].update(parameterType="NUMBER_INTEGER"),
        "parameter-type",
    ),
    "a component's default of another type": (
        lambda d: component(d, "ExampleGen")["inputDefinitions"]["parameters"]["output_data_format"].update(
            defaultValue=True
        ),
        "parameter-type",
    ),
    "no image that a registry could have": (lambda d: container(d, "Pusher").update(image="a b"), "image"),
    "a schema where no volume is": (
        lambda d: tasks(d)["ReviewedSchema"]["inputs"]["parameters"].update(
            source={"runtimeValue": {"constant": "/schemas"}}
        ),
        "input-volume",
    ),
    "data where no volume is": (
        lambda d: d.spec["root"]["inputDefinitions"]["parameters"]["source"].update(defaultValue="/data/{SPAN}"),
        "input-volume",
    ),
    "a name with a dot": (renamed("Classifier", "Trainer.mnist"), "task-name"),
    "a name with an underscore": (renamed("Baseline", "latest_blessed"), "task-name"),
    "a leading digit": (renamed("Baseline", "1st"), "task-name"),
    "the name of another task's driver": (renamed("Baseline", "Classifier-driver"), "task-name"),
    "a task that is not there": (lambda d: tasks(d)["Pusher"]["dependentTasks"].append("Nobody"), "dependencies"),
    "a circle": (lambda d: tasks(d)["ExampleGen"]["dependentTasks"].append("Pusher"), "dependencies"),
    "no component": (lambda d: tasks(d)["Pusher"].update(componentRef={"name": "Nobody"}), "references"),
    "no executor": (lambda d: component(d, "Pusher").update(executorLabel="nobody"), "references"),
    "a producer that is not there": (
        lambda d: tasks(d)["Pusher"]["inputs"]["artifacts"]["model"]["taskOutputArtifact"].update(
            producerTask="Nobody"
        ),
        "sources",
    ),
    "an output that is not there": (
        lambda d: tasks(d)["Pusher"]["inputs"]["artifacts"]["model"]["taskOutputArtifact"].update(
            outputArtifactKey="x"
        ),
        "sources",
    ),
    "an output parameter that is not there": (
        lambda d: component(d, "ExampleGenDriver")["outputDefinitions"]["parameters"].pop("is_new"),
        "sources",
    ),
    "a parameter that the pipeline does not take": (
        lambda d: tasks(d)["ExampleGen"]["inputs"]["parameters"].update(source={"componentInputParameter": "data"}),
        "sources",
    ),
    "a parameter that is not given": (
        lambda d: tasks(d)["Evaluator"]["inputs"]["parameters"].pop("settings"),
        "required-inputs",
    ),
    "an artifact that is not given": (
        lambda d: tasks(d)["Evaluator"]["inputs"]["artifacts"].pop("model"),
        "required-inputs",
    ),
    "a resolver": (
        lambda d: d.spec["deploymentSpec"]["executors"].update(Baseline_executor={"resolver": {}}),
        "executor-kind",
    ),
    "a driver in a hook": (
        lambda d: container(d, "ExampleGen").update(lifecycle={"preCacheCheck": {"command": ["python"]}}),
        "pre-cache-check",
    ),
    "an artifact of no type": (
        lambda d: component(d, "Pusher")["inputDefinitions"]["artifacts"].update(model={"artifactType": {}}),
        "artifact-types",
    ),
    "another command": (lambda d: container(d, "Transform").update(command=["python", "-m", "tfx"]), "artifact-types"),
    "another command under minio": (
        lambda d: container(d, "ReviewedSchema").update(command=["python", "-m", "tfx"]),
        "openable-root",
    ),
    "a GPU image without a GPU": (
        lambda d: container(d, "Classifier").update(image="reg.example/mnist-tfx:1-gpu", resources={}),
        "trainer-resources",
    ),
    "no image": (lambda d: container(d, "Pusher").pop("image"), "image"),
    "a password in a variable": (extended("Pusher", "env", {"name": "DB_PASSWORD", "value": "x"}), "clear-text-secret"),
    "a token in a variable": (extended("Pusher", "env", {"name": "API_TOKEN", "value": "x"}), "clear-text-secret"),
    "a key in a variable": (
        extended("Pusher", "env", {"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}),
        "clear-text-secret",
    ),
    "a token in an argument": (extended("Pusher", "args", "--token=abc"), "clear-text-secret"),
    "a password in an argument": (extended("Pusher", "args", "--db-password", "abc"), "clear-text-secret"),
    "a password in a URL": (extended("Pusher", "args", "--db", "mysql://me:abc@host/db"), "clear-text-secret"),
    "an argument that is too long": (extended("Pusher", "args", "x" * 131_072), "argument-size"),
    "a variable that is too long": (extended("Pusher", "env", {"name": "A", "value": "x" * 131_072}), "argument-size"),
    "an invocation that is too long": (
        lambda d: tasks(d)["Pusher"]["inputs"]["parameters"].update(
            serving_dir={"runtimeValue": {"constant": "x" * 131_072}}
        ),
        "argument-size",
    ),
    "no volume": (without_volumes, "serving-volume"),
    "a volume elsewhere": (served_from("/servings"), "serving-volume"),
    "a bucket": (served_from("gs://bucket/serving"), "serving-bucket"),
    "a mounted bucket": (served_from("/gcs/bucket/serving"), "serving-bucket"),
    "a mounted bucket by a detour": (served_from("/serving/../gcs/bucket"), "serving-bucket"),
    "a copy of a bucket": (served_from("/minio/bucket/serving"), "serving-bucket"),
    "a bucket with an equals sign": (
        lambda d: container(d, "Pusher").update(args=["--serving=gs://bucket/serving"]),
        "serving-bucket",
    ),
}
