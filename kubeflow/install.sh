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
# Debian's own Python; copies, as nothing is shared between layers; bytecode that does not depend on time stamps.
export UV_PYTHON_DOWNLOADS=never UV_NO_CACHE=1 UV_LINK_MODE=copy
export UV_COMPILE_BYTECODE=1 PYC_INVALIDATION_MODE=UNCHECKED_HASH

# A compiler, for the distributions that have no wheel, and uv in the Makefile's version.
tools() {
  debian_packages ca-certificates g++ libc6-dev python3-dev python3-venv
  python3 -m venv /opt/uv
  /opt/uv/bin/pip install --quiet --no-cache-dir "uv==$(sed -n 's/^UV_VERSION := //p' $PROJECT/Makefile)"
}

# The lock. What builds a distribution is held to the same hashes as what is installed.
environment() {
  $UV venv --quiet --python /usr/bin/python3 $VENV
  $UV pip sync --quiet --python $PYTHON --require-hashes --build-constraints $PROJECT/requirements.lock \
    $PROJECT/requirements.lock
}

# CUDA's libraries, apart from the environment, so that the GPU image is the CPU image and one layer.
cuda() {
  awk '/^[a-z]/ { nvidia = /^nvidia-/ } nvidia' $PROJECT/kubeflow/gpu-requirements.lock > /tmp/nvidia.lock
  $UV pip install --quiet --python $PYTHON --target $CUDA --no-deps --only-binary :all: --require-hashes \
    --requirements /tmp/nvidia.lock
  rm -f /tmp/nvidia.lock $CUDA/.lock
}

# The checkout, in place. What only installs, tests and lints goes.
project() {
  chmod -R u=rwX,go=rX $PROJECT
  $UV pip install --quiet --python $PYTHON --no-deps --no-build-isolation --editable $PROJECT
  $UV pip uninstall --quiet --python $PYTHON \
    build furo hypothesis import-linter mypy myst-parser pip pytest pytest-timeout ruff sphinx sphinx-basic-ng \
    types-jsonschema types-protobuf types-pyyaml
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

debian_packages() {
  apt-get update --quiet
  apt-get install --yes --quiet --no-install-recommends "$@"
  rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
}

case ${1-} in
  tools | environment | cuda | project | runtime) "$1" ;;
  *)
    echo "usage: install.sh tools|environment|cuda|project|runtime" >&2
    exit 2
    ;;
esac
