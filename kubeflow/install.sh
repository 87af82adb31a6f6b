#!/bin/sh
# A step's name -> that part of the image, done to the Debian 13 it runs in, as root.
# kubeflow/Dockerfile runs the steps, and tests/clean_root.py follows the Dockerfile without a Docker engine.
set -eu

PROJECT=/opt/mnist-tfx
VENV=/opt/venv
CUDA=/opt/cuda
PYTHON=$VENV/bin/python
UV=/opt/uv/bin/uv
USER_ID=10001

export DEBIAN_FRONTEND=noninteractive
# Debian's own Python; copies, as nothing is shared between layers.
export UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy

# By which variables the machine that builds reaches package indexes, and its cache of wheels: `make image` mounts them
# there, and nothing of them stays in a layer.
[ ! -f /run/build/environment ] || . /run/build/environment
[ -d /root/.cache/uv ] || export UV_NO_CACHE=1

# A compiler, for the distributions that have no wheel, and uv in the Makefile's version.
tools() {
  debian_packages ca-certificates g++ libc6-dev python3-dev python3-venv
  python3 -m venv /opt/uv
  /opt/uv/bin/pip install --quiet --no-cache-dir "uv==$(sed -n 's/^UV_VERSION := //p' $PROJECT/Makefile)"
}

# The lock, less what only installs, tests and lints. What builds a distribution is held to the same hashes as what is installed.
environment() {
  $UV venv --quiet --python /usr/bin/python3 $VENV
  from_index pip sync --quiet --python $PYTHON --require-hashes --build-constraints $PROJECT/requirements.lock \
    $PROJECT/requirements.lock
  $PYTHON - $PROJECT/requirements.in > /tmp/unused <<'END'
import sys
from importlib.metadata import distributions
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

runtime = open(sys.argv[1]).read().split("# Installing, testing, linting")[0].splitlines()
waiting = [Requirement(line) for line in (line.split("#")[0].strip() for line in runtime) if line]
waiting += map(Requirement, ("setuptools", "wheel"))  # the project is installed by them, later
installed = {canonicalize_name(found.name): found for found in distributions()}
seen = set()
while waiting:
    need = waiting.pop()
    name = canonicalize_name(need.name)
    if name not in installed or (need.marker and not need.marker.evaluate({"extra": ""})):
        continue
    for extra in {"", *need.extras} - {extra for known, extra in seen if known == name}:
        seen.add((name, extra))
        for more in map(Requirement, installed[name].requires or ()):
            if more.marker is None or more.marker.evaluate({"extra": extra}):
                more.marker = None
                waiting.append(more)
print(*sorted(set(installed) - {name for name, _ in seen}), sep="\n")
END
  $UV pip uninstall --quiet --python $PYTHON --requirements /tmp/unused
  rm /tmp/unused
  # Headers for building operations of one's own, and the packages' tests: a sixth of the rest, and nobody imports them.
  rm -rf $VENV/lib/python3*/site-packages/tensorflow/include
  find $VENV/lib -type d -name tests -prune -exec rm -rf {} +
  # Bytecode that depends on no time stamp; what does not compile is templates.
  PYTHONWARNINGS=ignore $PYTHON -m compileall -qq -j 0 --invalidation-mode unchecked-hash $VENV/lib || true
}

# CUDA's libraries, apart from the environment, so that the GPU image is the CPU image and one layer.
cuda() {
  awk '/^[a-z]/ { nvidia = /^nvidia-/ } nvidia' $PROJECT/kubeflow/gpu-requirements.lock > /tmp/nvidia.lock
  from_index pip install --quiet --python $PYTHON --target $CUDA --no-deps --only-binary :all: --require-hashes \
    --requirements /tmp/nvidia.lock
  rm -f /tmp/nvidia.lock $CUDA/.lock
}

# The checkout, in place.
project() {
  chmod -R u=rwX,go=rX $PROJECT
  $UV pip install --quiet --python $PYTHON --no-deps --no-build-isolation --editable $PROJECT
  $UV pip check --quiet --python $PYTHON
  # Unlike the environment's, sources of our own are looked at again, so that a file mounted over one counts.
  $PYTHON -m compileall -q --invalidation-mode checked-hash $PROJECT/components $PROJECT/pipeline
  rm -rf $VENV/.lock $PROJECT/build
}

# Debian's Python, a user, and the folders that he may write to.
runtime() {
  debian_packages ca-certificates python3
  useradd --uid $USER_ID --gid 0 --home-dir /home/mnist-tfx --create-home --shell /usr/sbin/nologin mnist-tfx
  # KFP's launcher makes folders below the first three. Clusters that choose a user of their own leave him group 0.
  install -d -m 0775 -o $USER_ID -g 0 /gcs /minio /s3 /serving /home/mnist-tfx
}

# A mirror that does not answer ends with a code of its own (EX_TEMPFAIL): nothing is wrong with the image.
debian_packages() {
  apt-get update --quiet --option APT::Update::Error-Mode=any || exit 75
  apt-get install --quiet --simulate --no-install-recommends "$@" > /dev/null
  apt-get install --yes --quiet --no-install-recommends --download-only "$@" || exit 75
  apt-get install --yes --quiet --no-install-recommends "$@"
  rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
}

# uv, whose index may not answer either.
from_index() {
  if ! $UV "$@" 2> /tmp/said; then
    cat /tmp/said >&2
    grep -qiE 'error sending request|timed out|dns error|connection (reset|closed|refused)' /tmp/said && exit 75
    exit 1
  fi
  rm /tmp/said
}

case ${1-} in
  tools | environment | cuda | project | runtime) "$1" ;;
  *)
    echo "usage: install.sh tools|environment|cuda|project|runtime" >&2
    exit 2
    ;;
esac
