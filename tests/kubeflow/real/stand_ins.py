"""Programs in the place of KFP's `driver` and `launcher-v2`: they write what Argo reads, and do nothing else.

With them a Workflow goes through the real namespaces, users and volumes of `node.py` where KFP's programs are not at
hand. `launch` lists what it sees in the file of its task, on the volume that the small Workflow mounts.
"""

import sys
from pathlib import Path
from typing import Final

_DRIVER: Final = """
import json, sys

flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))

def write(flag, text):
    if flag in flags:
        open(flags[flag], "w").write(text)

main = {"name": "main", "image": "reg.example/mnist-tfx:1"}
main["command"] = ["/kfp-launcher/launch", flags.get("--task_name", "")]
write("--execution_id_path", "1")
write("--pod_spec_patch_path", json.dumps({"containers": [main]}))
"""

_LAUNCHER: Final = """
import json, os, shutil, sys, time

if sys.argv[1] == "--copy":
    shutil.copy(__file__, sys.argv[2])
    os.chmod(sys.argv[2], 0o755)
    sys.exit()

status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)

def refused(path):
    try:
        open(path, "w")
    except OSError as err:
        return err.strerror

seen = {
    "ids": [os.getuid(), os.getgid(), os.getgroups()],
    "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
    "no_new_privs": status["NoNewPrivs"] == "1",
    "process": os.getpid(),
    "tmp": sorted(os.listdir("/tmp")),
    "refused": {path: refused(path) for path in ("/etc/new", "/secret/key", os.environ["HOME"] + "/new")},
    "network": [line.split(":")[0].strip() for line in open("/proc/net/dev").read().splitlines()[2:]],
    "attempt": os.environ.get("KFP_RETRY_INDEX"),
}
if os.path.isdir("/data"):
    json.dump(seen, open("/data/" + sys.argv[1], "w"))
if sys.argv[1].startswith("sleeps"):
    time.sleep(600)
open("/dev/termination-log", "w").write(sys.argv[1] + " is over")
sys.exit(3 if sys.argv[1] == "fails" else 0)
"""


def write(folder: Path) -> Path:
    """Writes both programs into a folder and returns it."""
    folder.mkdir(parents=True)
    for name, text in (("driver", _DRIVER), ("launcher-v2", _LAUNCHER)):
        # Isolated and without site: these start dozens of times, and need the standard library alone.
        (folder / name).write_text(f"#!{sys.executable} -IS\n{text}")
        (folder / name).chmod(0o755)
    return folder
