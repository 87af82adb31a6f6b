"""`make audit-deps`: what it asks about, and that an advisory, a weighed one and no answer end differently."""

import contextlib
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import audit_deps
import pytest

LOCK = """\
one==1.0 ; python_full_version < '3.11' \\
    --hash=sha256:00 \\
    --hash=sha256:11
    # via two
one==2.0 ; python_full_version >= '3.11' \\
    --hash=sha256:22
two==3.0 \\
    --hash=sha256:33
"""


def advisory(number, package, version, fixed):
    return {
        "id": number,
        "modified": "2026-01-01T00:00:00Z",
        "aliases": [],
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": package},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
                "versions": [version],
            }
        ],
    }


@contextlib.contextmanager
def source(*advisories):
    """Answers as OSV documents it, https://google.github.io/osv.dev/post-v1-query/, and yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            vulns = [
                one
                for one in advisories
                for affected in one["affected"]
                if affected["package"]["name"] == asked["package"]["name"] and asked["version"] in affected["versions"]
            ]
            body = json.dumps({"vulns": vulns} if vulns else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def audit(url):
    command = [sys.executable, audit_deps.__file__, "--osv-url", url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("python", "packages"), [("3.10", ["one==1.0", "two==3.0"]), ("3.13", ["one==2.0", "two==3.0"])]
)
def test_each_lane_is_asked_about_what_its_python_takes(python, packages):
    assert list(audit_deps.pins(LOCK, python)) == packages


@pytest.mark.slow
def test_an_advisory_fails_until_the_documentation_weighs_it():
    weighed = advisory("PYSEC-2023-238", "pyarrow", "10.0.1", "14.0.1")
    with source(weighed) as url:
        code, said = audit(url)
    assert (code, said.partition(", ")[2]) == (0, "advisories: 1, not in docs/limits.md: 0")
    with source(weighed, advisory("PYSEC-2099-1", "tfx", "1.21.0", "1.22.0")) as url:
        code, said = audit(url)
    assert (code, said.partition(", ")[2]) == (1, "advisories: 2, not in docs/limits.md: 1")


@pytest.mark.slow
def test_no_answer_is_neither_good_news_nor_bad():
    with source() as url:
        pass
    code, said = audit(url)
    assert code == audit_deps.UNKNOWN
    assert said.startswith("cannot tell: no advisories could be read: ")
