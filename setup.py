"""Packages, data files and the console script; reads nothing but what MANIFEST.in lists (Beam rebuilds it on workers)."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
RUNTIME = (HERE / "requirements.in").read_text().split("# Installing, testing, linting")[0]

# CUDA for the lock's TensorFlow: gigabytes, so only for who asks. 2.16.1 does not find it (tensorflow#63362).
GPU = [
    'tensorflow[and-cuda]>=2.16.2,<2.17 ; python_version < "3.11"',
    'tensorflow[and-cuda]>=2.21,<2.22 ; python_version >= "3.11"',
]

setup(
    name="mnist-tfx",
    version="0.1.0",
    description="A TFX pipeline for MNIST-format images whose served models can prove what they were made from",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["components*", "mnist_tfx*", "pipeline*"]),
    package_data={
        "pipeline": [
            "cli/answers.schema.json",
            "config/recipes/*.yaml",
            "py.typed",
            "lineage/evidence/*.css",
            "lineage/evidence/*.j2",
            "lineage/export/*.css",
            "lineage/export/*.j2",
            "lineage/export/shell/*",
            "predict/server/pages/templates/*",
            "report/templates/*",
        ],
        "components": ["py.typed"],
        "mnist_tfx": ["py.typed"],
    },
    # schema/ is data, not a package: PyPI has a package of that name, and an importable folder would be shadowed by it.
    data_files=[
        ("share/mnist-tfx", ["requirements.lock"]),
        ("share/mnist-tfx/schema", sorted(str(p.relative_to(HERE)) for p in (HERE / "schema").glob("*.*"))),
    ],
    install_requires=[line.split("#")[0].strip() for line in RUNTIME.splitlines() if line.split("#")[0].strip()],
    extras_require={"gpu": GPU},
    entry_points={"console_scripts": ["mnist-tfx=pipeline.__main__:main"]},
)
