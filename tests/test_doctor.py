import sys

from pipeline.cli import doctor
from pipeline.provenance import code

LOCK = """
# made by make lock
numpy==1.26.4 ; python_full_version < '3.11' \\
    --hash=sha256:00
numpy==2.4.6 ; python_full_version >= '3.11' \\
    --hash=sha256:00
click==8.5.1 \\
    --hash=sha256:00
pywin32==1.0 ; sys_platform == 'win32' \\
    --hash=sha256:00
"""


def test_only_the_lines_of_this_interpreters_lane_count():
    wanted = "1.26.4" if sys.version_info < (3, 11) else "2.4.6"
    assert doctor.locked_versions(LOCK) == {"numpy": wanted, "click": "8.5.1"}


def test_a_package_of_another_version_is_named(tmp_path, monkeypatch):
    lock = tmp_path / "requirements.lock"
    lock.write_text("tfx==0.1 \\\n    --hash=sha256:00\n")
    monkeypatch.setattr(code, "LOCK_PLACES", (lock,))
    found = {finding.check: finding for finding in doctor.examine(tmp_path, with_devices=False)}
    assert found["tfx"].wrong == "the lock has 0.1: `make install`"


def test_a_missing_package_is_wrong_only_if_something_installed_needs_it(tmp_path, monkeypatch):
    lock = tmp_path / "requirements.lock"
    lock.write_text("click==0.1 \\\n    --hash=sha256:00\nonly-a-linter==1.0 \\\n    --hash=sha256:00\n")
    monkeypatch.setattr(code, "LOCK_PLACES", (lock,))
    monkeypatch.setattr(doctor, "_installed", {}.get)
    found = {finding.check: finding for finding in doctor.examine(tmp_path, with_devices=False)}
    assert found["other packages"].wrong == "differ from the lock: click: `make install`"


def test_a_missing_folder_is_judged_by_the_nearest_one_above(tmp_path):
    found = {finding.check: finding for finding in doctor.examine(tmp_path / "a" / "b", with_devices=False)}
    assert str(tmp_path) in found["disk"].found
