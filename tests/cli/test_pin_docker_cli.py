"""``trustkit pin add`` for collections in format docker: root files, authorities, and what is neither."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from tests.formats_docker.forge import NOW, Forge, certified
from trustkit.cli.app import cli
from trustkit.core.formats.docker.certificates import LIFETIME
from trustkit.core.names import Gun
from trustkit.errors import UsageError, WrongFormat

APP = "registry.example/app"
Add = Callable[..., Result]


@pytest.fixture
def runner(tmp_path: Path) -> CliRunner:
    return CliRunner(env={"TRUSTKIT_HOME": str(tmp_path / "home")})


@pytest.fixture
def forge() -> Forge:
    return Forge(Gun.parse(APP), signers={"root": [certified(gun=APP)]})


def listed(runner: CliRunner) -> list[dict[str, object]]:
    value: list[dict[str, object]] = json.loads(runner.invoke(cli, ["pin", "list", "--format", "json"]).stdout)
    return value


def certificate(name: str, *, authority: bool) -> bytes:
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(private, SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def test_a_root_file_is_pinned_for_the_collection_that_its_certificates_name(
    runner: CliRunner, forge: Forge, tmp_path: Path
) -> None:
    file, key = tmp_path / "root.json", forge.signers["root"][0][0].keyid
    file.write_bytes(forge.files()["root"])
    arguments = ["pin", "add", APP, "--root", str(file)]
    said = runner.invoke(cli, arguments)
    assert isinstance(said.exception, WrongFormat)
    assert "--format docker" in said.exception.hint
    assert isinstance(runner.invoke(cli, [*arguments, "--format", "tuf"]).exception, UsageError)
    other = runner.invoke(cli, ["pin", "add", f"{APP}2", "--root", str(file), "--format", "docker"])
    assert isinstance(other.exception, UsageError)
    assert f"the root of {APP}, not of {APP}2" in other.exception.message
    assert listed(runner) == []
    done = runner.invoke(cli, [*arguments, "--format", "docker"])
    assert (done.exit_code, key in done.stderr) == (0, True), done.exception
    assert listed(runner) == [
        {"pattern": APP, "format": "docker", "kind": "root", "root_keys": [key], "threshold": 0},
    ]
    assert "a root file" in runner.invoke(cli, ["pin", "list"]).stdout


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b'"sig":"', b'"sig":"AAAA'),
        lambda data: data + b"\n",
        lambda data: data.replace(b"Root", b"Targets"),
        lambda _: b"",
    ],
    ids=["not signed", "a newline more", "no root", "empty"],
)
def test_what_is_no_root_file_is_refused(
    runner: CliRunner, forge: Forge, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / "root.json"
    file.write_bytes(change(forge.files()["root"]))
    said = runner.invoke(cli, ["pin", "add", APP, "--root", str(file), "--format", "docker"])
    assert isinstance(said.exception, UsageError)
    assert "is not a root file" in said.exception.message


def test_authorities_are_pinned_for_a_pattern(runner: CliRunner, tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(b"Issuer: ours\n" + certificate("one", authority=True) + certificate("two", authority=True))
    done = runner.invoke(cli, ["pin", "add", "registry.example/*", "--ca", str(file), "--format", "docker"])
    assert done.exit_code == 0, done.exception
    assert "root keys of 2 authorities, in format docker" in done.stderr
    (first, second) = (x509.load_pem_x509_certificates(file.read_bytes())[n].fingerprint(SHA256()) for n in (0, 1))
    assert f"authority {first.hex(':').upper()}" in done.stderr
    assert listed(runner)[0]["authorities"] == [each.hex(":").upper() for each in (first, second)]
    assert [(pin["kind"], pin["root_keys"]) for pin in listed(runner)] == [("authorities", [])]
    assert "root keys of 2 authorities" in runner.invoke(cli, ["pin", "list"]).stdout


@pytest.mark.parametrize(
    ("data", "arguments", "words"),
    [
        (certificate("leaf", authority=False), ["--format", "docker"], "of an authority"),
        (b"nothing", ["--format", "docker"], "can't be read"),
        (certificate("one", authority=True), [], "--format docker"),
        (certificate("one", authority=True), ["--format", "tuf"], "--format docker"),
        (certificate("one", authority=True), ["--format", "docker", "--threshold", "1"], "--root-key"),
        (certificate("one", authority=True), ["--format", "docker", "--root-key", "a" * 64], "Say what to accept"),
    ],
    ids=["a leaf", "no certificate", "no format", "tuf", "a threshold", "two things"],
)
def test_authorities_that_cant_be_pinned(
    runner: CliRunner, tmp_path: Path, data: bytes, arguments: list[str], words: str
) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(data)
    said = runner.invoke(cli, ["pin", "add", "registry.example/*", "--ca", str(file), *arguments])
    assert isinstance(said.exception, UsageError)
    assert words in str(said.exception)
    assert listed(runner) == []
