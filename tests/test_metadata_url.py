"""Addresses of metadata stores: what is understood, what is refused, and that no password gets out."""

import subprocess
import sys
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2

from components.errors import BadInput
from pipeline.config.request import Request
from pipeline.metadata.address import (
    PASSWORD_VARIABLE,
    GrpcService,
    MysqlDatabase,
    SqliteFile,
    parse_address,
)

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/var/m.db", "/var/m.db"),
        ("m.db", "{here}/m.db"),
        ("12:30.db", "{here}/12:30.db"),
        ("sqlite:///m.db", "{here}/m.db"),
        ("sqlite:////var/m.db", "/var/m.db"),
        ("sqlite:////var/a%20b.db", "/var/a b.db"),
    ],
)
def test_a_path_or_an_sqlite_url_is_a_file(text, path):
    assert parse_address(text) == SqliteFile(path=Path(path.format(here=Path.cwd())))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (
            f"mysql://u:{SECRET}@db.example:3307/lineage",
            MysqlDatabase(host="db.example", port=3307, database="lineage", user="u", password=SECRET),
        ),
        (
            "mysql://u%40x:p%40s%2Fs%23@[::1]/lineage",
            MysqlDatabase(host="::1", port=3306, database="lineage", user="u@x", password="p@s/s#"),
        ),
        ("mysql://u@localhost/m", MysqlDatabase(host="localhost", port=3306, database="m", user="u")),
        ("grpc://metadata-grpc-service:8081", GrpcService(host="metadata-grpc-service", port=8081)),
        ("grpc://[fe80::1]/", GrpcService(host="fe80::1", port=8080)),
    ],
)
def test_a_url_is_a_server(text, address):
    assert parse_address(text, {}) == address


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("m.db", metadata_store_pb2.ConnectionConfig),
        ("mysql://u@h/m", metadata_store_pb2.ConnectionConfig),
        ("grpc://h:1", metadata_store_pb2.MetadataStoreClientConfig),
    ],
)
def test_every_kind_has_a_configuration_for_ml_metadata(text, kind):
    assert isinstance(parse_address(text).config(), kind)


def test_localhost_is_reached_by_its_port_and_not_through_a_socket():
    assert parse_address("mysql://u@localhost:3307/m").config().mysql.host == "127.0.0.1"


def test_an_ipv6_service_keeps_its_brackets():
    assert parse_address("grpc://[::1]:80").config().host == "[::1]"


def test_the_password_comes_from_the_environment_where_the_url_has_none():
    environ = {PASSWORD_VARIABLE: SECRET}
    assert parse_address("mysql://u@h/m", environ).password == SECRET
    assert parse_address("mysql://u:other@h/m", environ).password == "other"
    assert parse_address("mysql://u:@h/m", environ).password == ""


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("", "''"),
        ("a\0b", "'a\\x00b'"),
        ("sqlite:///", "''"),
        ("sqlite://m.db", "a host"),
        ("mysql:u@h/m", "no // after the colon"),
        ("postgresql://u:hunter2@h/m", "postgresql"),
        ("mysql+pymysql://u:hunter2@h/m", "mysql+pymysql"),
        ("mysql://u:hunter2@h", "no database"),
        ("mysql://u:hunter2@h/", "no database"),
        ("mysql://u:hunter2@h/m-1", "a database's name with more than"),
        ("mysql://u:hunter2@h/m;DROP", "a database's name with more than"),
        ("mysql://:hunter2@h/m", "no user"),
        ("mysql://h/m", "no user"),
        ("mysql://u:hunter2@/m", "no host"),
        ("mysql://u:hunter2@h:port/m", "a port that is none of 1 to 65535"),
        ("mysql://u:hunter2@h:0/m", "a port that is none of 1 to 65535"),
        ("mysql://u:hunter2@h:65536/m", "a port that is none of 1 to 65535"),
        ("mysql://u:hunter2/x@h/m", "no user (in a password: / is %2F)"),
        ("mysql://root:hunter2", "no user"),
        ("mysql://u:[hunter2@h/m", "brackets"),
        ("mysql://u:hunter2#x@h/m", "a ? or #"),
        ("mysql://u@h/m?password=hunter2", "a ? or #"),
        ("mysql://u:hunter2@h\n/m", "control characters"),
        ("mysql://u:hunter2@h x/m", "a host's name with other characters"),
        ("grpc://u:hunter2@h:1", "a user or a password"),
        ("grpc://h:1/service", "a path after the port"),
        ("grpc://:8080", "no host"),
        ("grpc://", "no host"),
    ],
)
def test_anything_else_is_refused_in_one_line_that_repeats_no_password(text, got):
    with pytest.raises(BadInput) as refused:
        parse_address(text, {})
    message = str(refused.value)
    assert message.startswith("--metadata: ")
    assert f"got {got}" in message
    assert "wanted" in message
    assert SECRET not in message
    assert "\n" not in message
    # What a traceback would show.
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize("show", [str, repr])
def test_an_address_is_shown_without_its_password(show):
    address = parse_address(f"mysql://u:{SECRET}@h/m", {})
    assert SECRET not in show(address)
    assert "h" in show(address)


def test_a_request_is_shown_without_its_password():
    assert SECRET not in repr(Request(metadata=f"mysql://u:{SECRET}@h/m"))


@pytest.mark.parametrize("text", ["mysql://u@h:3307/m", "mysql://u@[::1]:3306/m", "grpc://h:8080"])
def test_what_is_shown_is_an_address_again(text):
    assert str(parse_address(text, {})) == text


def test_addresses_are_understood_without_importing_ml_metadata():
    code = "import sys, pipeline.metadata.address as m; m.parse_address('mysql://u@h/m'); sys.exit('ml_metadata' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
