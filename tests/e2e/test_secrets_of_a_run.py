"""What runs with secrets leave, in every file and every list of processes, whether they end well or not: none of the secrets."""

import contextlib
import os
import stat
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import metadata_servers
import object_store
import pytest
from background import Background
from command_line import QUICK, mnist_tfx
from metadata_servers import HAS_MARIADB, NO_MARIADB, PASSWORD, PASSWORD_IN_URL
from server.running_server import serving

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.skipif(not HAS_MARIADB, reason=NO_MARIADB)]

WRONG = "not-the-password-9f3c"
TOKEN = "a-bearer-token-of-the-tests-51d7"
PASSPHRASE = "a passphrase of the tests 7b2e"
HOOK = "a-token-of-a-web-hook-e04a"
SECRETS = (PASSWORD, PASSWORD_IN_URL, WRONG, object_store.SECRET, TOKEN, PASSPHRASE, HOOK)

AUDITED = (0, 1)
"""A tree with uncommitted changes fails the policy, and that is all."""

BEFORE_IT_HIDES_S = 2.0
"""Seconds after its start by which a process has overwritten a password that somebody put on its command line."""


class Sampled(Background):
    """Reads the arguments of all processes, again and again; a context manager."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, str], list[float]] = {}
        self.rounds = 0
        super().__init__()

    def work(self):
        while not self.ended.wait(0.03):
            self.rounds += 1
            for folder in Path("/proc").iterdir():
                if folder.name.isdecimal():
                    with contextlib.suppress(OSError):
                        self._note(folder.name, (folder / "cmdline").read_bytes().decode("utf-8", "replace"))

    def _note(self, process, arguments):
        for secret in SECRETS:
            if secret in arguments:
                self.seen.setdefault((int(process), secret), []).append(time.monotonic())


@dataclass
class Place:
    """Everything that commands with secrets write to.

    Attributes:
      folder: with roots, cache, temporary files and what was printed.
      env: of the commands.
    """

    folder: Path
    env: dict[str, str]
    printed: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.folder / "root"

    def does(self, codes, *arguments, **env):
        """Runs a command that has to end with one of the exit codes."""
        answer = mnist_tfx(*arguments, env={**self.env, **env}, cwd=self.folder)
        assert answer.code in codes, answer.out + answer.err
        assert "Traceback" not in answer.out + answer.err
        self.printed += [answer.out, answer.err]
        return answer

    def found(self):
        """Returns (place, secret) of every secret that was left or printed."""
        left = [(str(path), path.read_bytes()) for path in sorted(self.folder.rglob("*")) if path.is_file()]
        texts = [(f"output {number}", text.encode()) for number, text in enumerate(self.printed)]
        names = [(f"name of {path}", str(path).encode()) for path in self.folder.rglob("*")]
        return [(name, one) for name, data in (*left, *texts, *names) for one in SECRETS if one.encode() in data]


@pytest.fixture
def place(tmp_path):
    with object_store.server() as endpoint, tempfile.TemporaryDirectory(prefix="s-") as short:
        env = {
            **object_store.environment(endpoint, tmp_path / "cache"),
            "XDG_CACHE_HOME": str(tmp_path / "xdg"),
            "TMPDIR": short,
            "PYTHONPATH": os.getcwd(),
            "MNIST_TFX_KEY_PASSPHRASE": PASSPHRASE,
        }
        made = Place(folder=tmp_path, env=env)
        yield made
        # What a process leaves there is among what is left.
        assert list(Path(short).iterdir()) == []


def test_a_run_with_secrets_leaves_none_of_them_and_shows_none(place, digits_folder):
    bucket = object_store.make_bucket(place.env["AWS_ENDPOINT_URL"], place.folder / "cache")
    data = bucket.put_folder("digits", digits_folder)
    key = place.folder / "keys"
    with metadata_servers.mariadb() as port, Sampled() as sampled:
        bare = f"mysql://mlmd@127.0.0.1:{port}/lineage"
        full = bare.replace("mlmd@", f"mlmd:{PASSWORD_IN_URL}@")
        wrong = bare.replace("mlmd@", f"mlmd:{WRONG}@")
        away = f"mysql://mlmd:{PASSWORD_IN_URL}@127.0.0.1:{metadata_servers.free_port()}/lineage"
        place.does((0,), "lineage", "keygen", "--passphrase", "--to", key)
        run = ("run", "--root", place.root, *QUICK)
        sign = ("--sign-key", key / "private.pem")
        tells = ("--on-failure", f": https://hooks.example/{HOOK}; false")
        place.does((0,), *run, "--data", data, "--metadata", full, *sign, "-v", "--json", MNIST_TFX_DEBUG="1")
        place.does((0,), *run, "--data", data, "--metadata", bare, *sign, MNIST_TFX_METADATA_PASSWORD=PASSWORD)
        place.does((4,), *run, "--data", data, "--metadata", wrong)
        place.does((4,), *run, "--data", data, "--metadata", wrong, "--json")
        place.does((4,), *run, "--data", data, "--metadata", away)
        place.does((4,), *run, "--data", data, "--metadata", bare, MNIST_TFX_METADATA_PASSWORD=WRONG)
        place.does((2,), *run, "--data", "s3://no-such-bucket/digits", "--metadata", full)
        place.does((4,), *run, "--data", data, "--metadata", full, AWS_ENDPOINT_URL=f"http://u:{WRONG}@127.0.0.1:1")
        # The gate refuses it, with commands that lead out of it.
        turned = ("--data", data, "--metadata", full, "--transpose")
        refused = place.does((3,), *run, *turned)
        assert f"--metadata {bare}" in refused.err
        place.does((3,), *run, *turned, "--json")
        place.does(AUDITED, "lineage", "audit", "--root", place.root, "--metadata", full)
        place.does(AUDITED, "lineage", "audit", "--root", place.root, "--json", MNIST_TFX_METADATA_PASSWORD=PASSWORD)
        place.does((1, 5), "lineage", "audit", "--root", place.root, "--metadata", wrong, "--json")
        place.does((1, 5), "lineage", "audit", "--root", place.root, "--metadata", away)
        place.does((0,), "runs", "list", "--root", place.root, "--json")
        for form in ("html", "slsa", "openlineage", "cyclonedx", "prov"):
            place.does(
                (0,), "lineage", "export", "--format", form, "--root", place.root, "-o", place.folder / f"l.{form}"
            )
        place.does((0,), "report", "--root", place.root, "-o", place.folder / "report.html")
        place.does(
            (0,), "root", "backup", place.folder / "copy", "--root", place.root, MNIST_TFX_METADATA_PASSWORD=PASSWORD
        )
        # The shell that it is given to shows it; ours does not.
        with_hook = place.does((3,), *run, *turned, *tells)
    assert HOOK not in with_hook.out + with_hook.err
    _serve(place)
    assert place.found() == []
    assert sampled.rounds > 100
    _assert_hidden(sampled)
    private = [path for path in place.folder.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert private
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}


def _serve(place):
    """Asks a server with the token, with another one and without."""
    token = place.folder.parent / "token"
    token.write_text(f"{TOKEN}\n")
    with Sampled() as sampled, serving(place.root, "--token-file", str(token), folder=place.folder) as server:
        for header, status in ((None, 401), (WRONG, 401), (TOKEN, 200)):
            headers = {"Authorization": f"Bearer {header}"} if header else {}
            assert server.post({"instances": [[0] * 64]}, headers=headers)[0] == status
    token.unlink()
    assert sampled.seen == {}


def _assert_hidden(sampled):
    """A password on a command line is gone from it once the command has read it; a secret from elsewhere is never there."""
    for (process, secret), times in sampled.seen.items():
        if secret == HOOK:
            continue
        assert secret in (PASSWORD_IN_URL, WRONG), (process, secret)
        assert times[-1] - times[0] < BEFORE_IT_HIDES_S, (process, secret, times[-1] - times[0])
