"""Changes to a compiled file that Kubeflow Pipelines itself has judged, beside those of `broken_files`; some do no harm."""

from kubeflow.broken_files import (
    component,
    container,
    extended,
    platform,
    renamed,
    tasks,
    triggered,
)

IS_NEW = "inputs.parameter_values['is_new']"


def task(**fields):
    return lambda document: tasks(document)["Pusher"].update(fields)


def spec(**fields):
    return lambda document: document.spec.update(fields)


def named(name):
    return lambda document: document.spec["pipelineInfo"].update(name=name)


def asking_for(**resources):
    return lambda document: container(document, "Pusher").update(resources=resources)


def configured(**fields):
    return lambda document: platform(document)["Pusher_executor"].update(fields)


def mounting(claim, path):
    return lambda document: platform(document)["Pusher_executor"]["pvcMount"].append(
        {"constant": claim, "mountPath": path}
    )


def tolerating(**fields):
    return configured(tolerations=[{"key": "a", "operator": "Exists", **fields}])


def source(**fields):
    return lambda document: document.spec["root"]["inputDefinitions"]["parameters"]["source"].update(fields)


def served_and_secret(document):
    config = platform(document)["Pusher_executor"]
    config["secretAsVolume"] = [{"secretName": config["pvcMount"][0]["constant"], "mountPath": "/k"}]


def parameter_with_a_dash(document):
    component(document, "Pusher")["inputDefinitions"]["parameters"]["a-b"] = {"parameterType": "STRING"}
    tasks(document)["Pusher"]["inputs"]["parameters"]["a-b"] = {"runtimeValue": {"constant": "x"}}


def output_of_the_graph(document):
    selector = {"producerSubtask": "Pusher", "outputArtifactKey": "nope"}
    document.spec["root"]["dag"]["outputs"] = {"artifacts": {"x": {"artifactSelectors": [selector]}}}


JUDGED = {
    "retry without duration": task(retryPolicy={"maxRetryCount": 3}),
    "negative retries": task(retryPolicy={"maxRetryCount": -1}),
    "retry factor text": task(retryPolicy={"maxRetryCount": 1, "backoffDuration": "soon"}),
    "iterator": task(parameterIterator={"items": {"raw": "[1]"}, "itemInput": "i"}),
    "two caches": task(cachingOptions={"enableCache": True, "cacheKey": "abc"}),
    "no taskInfo name": task(taskInfo={}),
    "cpu limit text": asking_for(cpuLimit="four"),
    "resourceCpuLimit quantity wrong": asking_for(resourceCpuLimit="four"),
    "resourceMemoryLimit wrong": asking_for(resourceMemoryLimit="4 GB"),
    "accelerator count text": asking_for(accelerator={"resourceType": "nvidia.com/gpu", "resourceCount": "many"}),
    "accelerator type with space": asking_for(accelerator={"type": "nvidia com/gpu", "count": "1"}),
    "argo placeholder in an argument": extended("Pusher", "args", "{{workflow.nothing}}"),
    "argo placeholder inputs": extended("Pusher", "args", "{{inputs.parameters.nothing}}"),
    "argo placeholder in constant": lambda d: tasks(d)["Pusher"]["inputs"]["parameters"].update(
        serving_dir={"runtimeValue": {"constant": "/serving/{{workflow.nothing}}"}}
    ),
    "argo placeholder in name default": source(defaultValue="{{tasks.X.outputs.parameters.y}}"),
    "kfp placeholder unknown": extended("Pusher", "args", "{{$.inputs.parameters['nothing']}}"),
    "kfp placeholder open": extended("Pusher", "args", "{{$.inputs.parameters["),
    "env of argo placeholder": extended("Pusher", "env", {"name": "A", "value": "{{x}}"}),
    "env without a name": extended("Pusher", "env", {"value": "a"}),
    "empty pipeline name": named(""),
    "long pipeline name": named("a" * 129),
    "name 64 long": named("a" * 64),
    "name 100 long": named("a" * 100),
    "name with dot": named("a.b"),
    "name dash end": named("a-"),
    "no root": lambda d: d.spec.pop("defaultPipelineRoot"),
    "root with query": spec(defaultPipelineRoot="minio://mlpipeline/m?region=x"),
    "root of azure": spec(defaultPipelineRoot="abfs://mlpipeline/m"),
    "schema 2.2.0": spec(schemaVersion="2.2.0"),
    "no sdk version": lambda d: d.spec.pop("sdkVersion"),
    "platform top field": lambda d: d.platform.update(foo={}),
    "platform not kubernetes": lambda d: d.platform.update(
        platforms={"kubernets": d.platform["platforms"]["kubernetes"]}
    ),
    "platform version": lambda d: d.platform["platforms"]["kubernetes"].update(version="v9"),
    "optional platform only": lambda d: d.platform.clear(),
    "toleration bad operator": tolerating(operator="Exist"),
    "toleration bad effect": tolerating(effect="Never"),
    "toleration seconds text": tolerating(tolerationSeconds="x"),
    "pull policy": configured(imagePullPolicy="Sometimes"),
    "pvc name illegal": mounting("A b", "/a"),
    "pvc relative": mounting("b", "a"),
    "pvc of /minio": mounting("b", "/minio"),
    "pvc of /.cache": mounting("b", "/.cache"),
    "two pvc one path": mounting("b", "/serving"),
    "secret and claim of one name": served_and_secret,
    "secret without name": configured(secretAsVolume=[{"mountPath": "/k"}]),
    "secret env without key": configured(secretAsEnv=[{"secretName": "a", "keyToEnv": [{"envVar": "X"}]}]),
    "node selector number": configured(nodeSelector={"labels": {"a": 1}}),
    "activeDeadline text": configured(activeDeadlineSeconds="3600"),
    "activeDeadline float": configured(activeDeadlineSeconds=3600.5),
    "task name very long": renamed("Baseline", "b" * 70),
    "task name 300": renamed("Baseline", "b" * 300),
    "task name ends in dash": renamed("Baseline", "Baseline-"),
    "task name root": renamed("Baseline", "root"),
    "parameter with dash": parameter_with_a_dash,
    "condition not bool": triggered(IS_NEW),
    "condition ternary": triggered(f"{IS_NEW} == 'true' ? true : false"),
    "condition unknown function": triggered(f"foo({IS_NEW})"),
    "condition int": triggered(f"int({IS_NEW}) > 3"),
    "condition has": triggered(f"{IS_NEW}.startsWith('t')"),
    "condition artifact": triggered("inputs.artifacts['x'].artifacts.size() > 0"),
    "condition empty": triggered(""),
    "no command": lambda d: container(d, "Pusher").pop("command"),
    "no executors": lambda d: d.spec.pop("deploymentSpec"),
    "default artifacts optional": lambda d: component(d, "Pusher")["inputDefinitions"]["artifacts"]["model"].update(
        isOptional=True
    ),
    "root param unknown type": source(parameterType="STRNG"),
    "root param no type": lambda d: d.spec["root"]["inputDefinitions"]["parameters"]["source"].pop("parameterType"),
    "root param default null": source(defaultValue=None),
    "unused component": lambda d: d.spec["components"].update(Nobody={"executorLabel": "nobody"}),
    "empty dag": lambda d: d.spec["root"]["dag"].update(tasks={}),
    "dag output": output_of_the_graph,
}
