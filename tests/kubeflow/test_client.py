"""The connection to a Kubeflow Pipelines server: one line for whatever goes wrong, in time, and no token in it."""

import datetime
import ipaddress
import json
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import PROJECT, mnist_tfx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kubeflow.cluster_command import QUICK, invoke
from kubeflow.cluster_files import run
from kubeflow.kfp_server import HTML, Fault, KfpServer, serving

from components.errors import BadInput, EnvironmentProblem
from pipeline.cli.kubeflow.runs import runs as runs_command
from pipeline.kubeflow.client import cluster_runs
from pipeline.kubeflow.client.connection import Address, Connection, connect, create_once
from pipeline.kubeflow.client.transport import RetryPolicy, ServerUnavailable

TOKEN = "s3cret-token-of-mine"


def connected(server: KfpServer, **address) -> Connection:
    return connect(Address(**{"host": server.url, "retry": QUICK, **address}))


def self_signed(folder: Path) -> Path:
    """Writes key and certificate for 127.0.0.1 as one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path = folder / "server.pem"
    path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    return path


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (
            Fault(401),
            EnvironmentProblem,
            r"credentials are wanted \(401\).*--token-file FILE or in MNIST_TFX_KFP_TOKEN",
        ),
        (Fault(403), EnvironmentProblem, r"not allowed \(403\).*ordered to fail"),
        (Fault(404, body="404 page not found"), EnvironmentProblem, r"no API at this address.*ends in /pipeline"),
        (Fault(404, body=HTML), EnvironmentProblem, "no API at this address"),
        (Fault(500, body='{"message": "ordered"}'), ServerUnavailable, r"the server failed \(500\).*ordered"),
        (Fault(400), BadInput, r"the server refuses it \(400\).*ordered to fail"),
        (Fault(409), BadInput, r"the server refuses it \(409\)"),
        (Fault(503), ServerUnavailable, r"the server failed \(503\).*ordered to fail"),
        (Fault(405), EnvironmentProblem, r"unforeseen answer \(405\).*another version"),
        (Fault("garbage", body="{nothing"), ServerUnavailable, "no JSON object: got {nothing"),
        (Fault("garbage", body=HTML), ServerUnavailable, "no JSON object: got an HTML page.*login page"),
        (Fault("garbage", body="[1]"), ServerUnavailable, r"no JSON object: got \[1\]"),
        (Fault("redirect"), EnvironmentProblem, r"sent elsewhere \(302\): got https://login.example/auth: "),
        (Fault("drop"), ServerUnavailable, "the connection was lost"),
    ],
    ids=lambda value: f"{value.kind} {value.body}" if isinstance(value, Fault) else None,
)
def test_every_fault_is_one_line(server, fault, kind, message):
    server.faults.append(fault)
    with pytest.raises(kind, match=message) as caught:
        connected(server)
    assert "\n" not in str(caught.value)
    assert "state=secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "message"),
    [
        (f"http://127.0.0.1:{free_port()}", "the connection was refused: is the port right"),
        ("http://no-such-host.invalid", "no such host"),
    ],
    ids=["port", "host"],  # a port differs from process to process, and a test's name must not
)
def test_a_server_that_is_not_there_is_told_at_once(host, message):
    with pytest.raises(EnvironmentProblem, match=message):
        connect(Address(host=host, retry=QUICK))


def test_a_server_without_tls_asked_for_it_is_told(server):
    with pytest.raises(EnvironmentProblem, match=r"no TLS connection.*http://, .*--ca-cert FILE"):
        connected(server, host=server.url.replace("http", "https"))


@pytest.mark.parametrize("kind", ["hang", "drip"])
def test_the_time_limit_holds_for_a_server_that_hangs_or_sends_a_byte_at_a_time(server, kind):
    server.faults.append(Fault(kind, "GET", "healthz"))
    started = time.monotonic()
    with pytest.raises(ServerUnavailable, match=r"no answer within 0\.3 s: --timeout SECONDS"):
        connected(server, retry=RetryPolicy(timeout=0.3, first_pause=0.01))
    assert time.monotonic() - started < 5
    assert len(server.asked) == 1


def test_reads_are_asked_again_after_a_failure(server):
    server.faults += [Fault(503, times=1), Fault("drop", times=1)]
    assert cluster_runs.listed(connected(server)) == ()
    assert [path for _, path in server.asked].count("/apis/v2beta1/healthz") == 3


def test_the_pauses_double_and_are_spread():
    many = [list(RetryPolicy(attempts=4, first_pause=1).pauses()) for _ in range(200)]
    for expected, pauses in zip((1, 2, 4), zip(*many, strict=True), strict=True):
        assert 0.5 * expected <= min(pauses) < max(pauses) <= 1.5 * expected
        assert len(set(pauses)) > 1


def test_a_host_without_the_prefix_is_told_where_the_api_is(server):
    server.prefix = "/pipeline"
    with pytest.raises(EnvironmentProblem, match=f"it is at --host {server.url}/pipeline"):
        connected(server)
    assert connected(server, host=f"{server.url}/pipeline/#/runs").address.api == f"{server.url}/pipeline"


def test_an_older_server_is_told_by_its_version(server):
    server.faults += [
        Fault(404, path="v2beta1", body=json.dumps({"code": 5, "message": "Not Found"})),
        Fault("garbage", path="v1beta1", body="{}"),
    ]
    with pytest.raises(EnvironmentProblem, match="speaks API v1beta1 alone: wanted Kubeflow Pipelines"):
        connected(server)


def test_an_installation_for_several_users_wants_a_namespace(server):
    server.multi_user = True
    with pytest.raises(BadInput, match="--namespace NAME"):
        connected(server)
    cluster_runs.listed(connected(server, namespace="me"))
    assert "namespace=me" in server.asked[-1][1]


def test_the_token_is_sent_and_never_shown(server):
    server.token = TOKEN
    assert connected(server, token=TOKEN)
    server.faults.append(Fault(403, body=json.dumps({"message": f"no rights for {TOKEN} here"})))
    with pytest.raises(EnvironmentProblem, match=r"no rights for \*\*\* here: is the token expired") as caught:
        connected(server, token=TOKEN)
    assert TOKEN not in str(caught.value)
    assert TOKEN not in repr(Address(host=server.url, token=TOKEN))


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "ünïcode"])
def test_a_token_that_no_header_can_carry_is_refused_without_showing_it(token):
    with pytest.raises(BadInput, match="the token holds characters") as caught:
        Address(host="http://x", token=token)
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "message"),
    [("kubeflow.example", "wanted http://"), ("ftp://x", "wanted http://"), ("http://", "wanted http://")],
)
def test_a_host_that_is_no_address_is_refused(host, message):
    with pytest.raises(BadInput, match=message):
        Address(host=host)


def test_a_password_in_the_host_is_refused_without_showing_it():
    with pytest.raises(BadInput, match="credentials in a URL") as caught:
        Address(host="https://me:hidden@kubeflow.example")
    assert "hidden" not in str(caught.value)


def test_a_certificate_that_nobody_signed_is_told_and_trusted_when_given(tmp_path):
    certificate = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(tls=context) as server:
        with pytest.raises(EnvironmentProblem, match=r"no TLS connection.*CERTIFICATE_VERIFY_FAILED.*--ca-cert FILE"):
            connected(server)
        assert connected(server, ca_cert=str(certificate))


def test_a_list_is_read_page_by_page_as_far_as_it_is_wanted(server, monkeypatch):
    monkeypatch.setattr("pipeline.kubeflow.client.connection.PAGE", 2)
    for number in range(7):
        server.add("runs", run(f"r{number}", minutes=number))
    connection = connected(server)
    assert [one.name for one in cluster_runs.listed(connection, limit=3)] == ["r6", "r5", "r4"]
    assert sum("page_size=2" in path for _, path in server.asked) == 2
    assert len(cluster_runs.listed(connection, limit=99)) == 7


def failing(times: int, *, declined: bool = True):
    calls = []

    def make():
        calls.append(1)
        if len(calls) <= times:
            raise ServerUnavailable("the server failed (503)", again=True, declined=declined, where="http://x")
        return "made"

    return make, calls


def test_what_is_there_after_a_lost_answer_is_not_made_again():
    make, calls = failing(1)
    assert create_once(make, lambda: "found", QUICK, "run") == "found"
    assert len(calls) == 1


def test_what_was_turned_away_and_is_not_there_is_made_again():
    make, calls = failing(2)
    assert create_once(make, lambda: None, QUICK, "run") == "made"
    assert len(calls) == 3


def test_a_last_attempt_without_an_answer_says_that_it_is_not_known():
    make, calls = failing(9)
    with pytest.raises(
        ServerUnavailable, match=r"\(503\), so it is not known whether the run was made.*look again before"
    ):
        create_once(make, lambda: None, QUICK, "run")
    assert len(calls) == 3


def test_what_nobody_has_turned_away_is_looked_for_with_patience_and_not_made_again():
    make, calls = failing(9, declined=False)
    looks = []
    with pytest.raises(ServerUnavailable, match="not known whether the run was made"):
        create_once(make, lambda: looks.append(1), QUICK, "run")
    assert len(calls) == 1
    assert len(looks) == 3


def test_what_appears_while_it_is_looked_for_is_found():
    make, calls = failing(9, declined=False)
    answers = iter([None, None, "found"])
    assert create_once(make, lambda: next(answers), QUICK, "run") == "found"
    assert len(calls) == 1


def test_looks_double_and_add_up_to_the_time_that_they_may_take():
    assert list(RetryPolicy(first_pause=1, search=10).looks()) == [1, 2, 4, 3]


@pytest.mark.parametrize(
    ("host", "token", "told"),
    [
        ("http://kfp.example", "t", True),
        ("http://127.0.0.1.example", "t", True),
        ("http://kfp.example", None, False),
        ("https://kfp.example", "t", False),
        ("http://localhost:8080", "t", False),
        ("http://127.0.0.1:8080", "t", False),
        ("http://[::1]:8080", "t", False),
    ],
)
def test_a_token_that_would_cross_a_network_in_the_clear_is_seen(host, token, told):
    assert Address(host=host, token=token).exposes_token is told


def test_a_token_in_the_clear_is_warned_of_without_showing_it(monkeypatch):
    monkeypatch.setattr("pipeline.cli.kubeflow.runs.connect", lambda _: None)
    monkeypatch.setattr(cluster_runs, "listed", lambda *_, **__: ())
    answer = invoke(runs_command, "--host", "http://kfp.example", "--json", env={"MNIST_TFX_KFP_TOKEN": TOKEN})
    assert answer.err.startswith("warning: http://kfp.example: the token is sent in the clear")
    assert TOKEN not in answer.err + answer.out


def test_a_look_that_fails_as_well_says_so():
    def find():
        raise EnvironmentProblem("the connection was refused")

    make, _ = failing(9)
    with pytest.raises(ServerUnavailable, match=r"nor could it be looked for \(the connection was refused\)"):
        create_once(make, find, QUICK, "run")


def test_the_home_directory_is_left_alone_and_nothing_else_is_printed(server, tmp_path):
    answer = mnist_tfx(
        "kubeflow", "runs", "--host", server.url, "--namespace", "me", "--json", env={"HOME": str(tmp_path)}
    )
    assert answer.code == 0, answer.err
    assert answer.json["runs"] == []
    assert answer.err == ""
    assert list(tmp_path.rglob("context.json")) == []


def test_a_token_comes_from_the_environment_and_is_in_no_output(server):
    server.token = TOKEN
    arguments = ("kubeflow", "runs", "--host", server.url, "--json")
    assert mnist_tfx(*arguments, env={"MNIST_TFX_KFP_TOKEN": f"{TOKEN}\n"}).code == 0
    server.token = "another"
    answer = mnist_tfx(*arguments, env={"MNIST_TFX_KFP_TOKEN": TOKEN, "MNIST_TFX_DEBUG": "1"})
    assert answer.code == 4
    assert "credentials are wanted (401)" in answer.err
    assert answer.err.count("\n") == 1
    assert TOKEN not in answer.err + answer.out


@pytest.mark.parametrize("verb", ["submit", "schedule", "runs", "audit"])
def test_help_does_not_import_kfp(verb):
    script = (
        "import sys\n"
        "from pipeline.cli.main import main\n"
        f"sys.argv = ['mnist-tfx', 'kubeflow', '{verb}', '--help']\n"
        "try: main()\n"
        "finally: print('HEAVY', sorted({'kfp', 'kfp_server_api', 'kubernetes', 'tfx', 'tensorflow'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert "HEAVY []" in done.stdout


def test_a_token_file_goes_before_the_environment_and_an_empty_one_is_refused(server, tmp_path):
    server.token = TOKEN
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    arguments = ("--host", server.url, "--token-file", file)
    assert invoke(runs_command, *arguments, env={"MNIST_TFX_KFP_TOKEN": "another"}).code == 0
    file.write_text("\n")
    answer = invoke(runs_command, *arguments)
    assert (answer.code, answer.err) == (2, f"{file}: holds no token")


def test_the_time_limit_can_be_set(server):
    server.faults.append(Fault("hang"))
    answer = invoke(runs_command, "--host", server.url, "--timeout", 0.2)
    assert answer.code == 4
    assert "no answer within 0.2 s" in answer.err


def test_kfps_own_variable_may_name_the_host(server):
    assert invoke(runs_command, env={"KF_PIPELINES_ENDPOINT": server.url}).code == 0
