"""``trustkit key import --docker`` and ``export --docker``: what is printed where, and with which status."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.service import Result
from trustkit.cli.app import main
from trustkit.core.names import Gun, SignerName
from trustkit.core.ports.keys import KeyRole
from trustkit.keys import dockerkeys, keypairs
from trustkit.keys.dockerkeys import Purpose
from trustkit.keys.keypairs import Algorithm

Run = Callable[..., Result]
PASSPHRASE = "a passphrase of docker"
GUN = Gun.parse("registry.example.com/app")
DOCKERS = {f"DOCKER_CONTENT_TRUST_{kind}_PASSPHRASE": PASSPHRASE for kind in ("ROOT", "REPOSITORY")}
ALICE = Purpose(KeyRole.SIGNER, None, SignerName.parse("alice"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """``trustkit key ...`` through the program's entry point, with nobody at a terminal."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, environ: dict[str, str] | None = None) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (environ or {}).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["trustkit", "--home", str(tmp_path / "home"), "key", *arguments])
            capfd.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        assert PASSPHRASE not in out + err
        return Result(int(str(ended.value.code or 0)), out, err)

    return call


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    """A trust folder with a signer's key, a repository's and one that is none."""
    folder = tmp_path / "trust"
    (folder / "private").mkdir(parents=True)
    for purpose in (ALICE, Purpose(KeyRole.REPOSITORY, GUN)):
        made = keypairs.generate(Algorithm.P256)
        path = folder / "private" / f"{dockerkeys.docker_key(made).canonical_id}.key"
        path.write_bytes(dockerkeys.render(made, PASSPHRASE.encode(), purpose, rounds=1))
        path.chmod(0o600)
    (folder / "private" / "notes.txt").write_text("no key")
    return folder


def test_what_was_taken_in_is_on_stdout_and_the_rest_is_told(run: Run, trust: Path) -> None:
    (trust / "private" / "old.key").write_text("no key")
    done = run("import", "--docker", "trust", environ=DOCKERS)
    assert done.status == 6  # of the file that is none
    assert len(done.out.split()) == 2
    assert "the signer key of alice" in done.err
    assert f"the repository key of {GUN}" in done.err
    assert "[key-file-invalid]" in done.err
    assert "2 imported, 1 not imported." in done.err
    (trust / "private" / "old.key").unlink()
    again = run("import", "--docker", "trust")
    assert (again.status, again.out) == (0, "")
    assert "2 here already." in again.err


def test_as_json(run: Run, trust: Path) -> None:
    looked = json.loads(run("import", "--docker", "trust", "--dry-run", "--json").out)
    assert [row["outcome"] for row in looked] == ["would-import"] * 2
    assert {(row["role"], row["gun"], row["name"]) for row in looked} == {
        ("signer", None, "alice"),
        ("repository", str(GUN), None),
    }
    done = run("import", "--docker", "trust", "--json")
    rows = json.loads(done.out)
    assert done.status == 6
    assert [row["error"]["slug"] for row in rows] == ["no-passphrase"] * 2
    rows = json.loads(run("import", "--docker", "trust/private", "--json", environ=DOCKERS).out)
    listed = json.loads(run("list", "--format", "json").out)
    assert {row["id"] for row in rows} == {row["id"] for row in listed}
    assert {f"{row['docker_id']}.key" for row in rows} == {path.name for path in trust.rglob("*.key")}


def test_signers_without_a_name_are_named(run: Run, tmp_path: Path, trust: Path) -> None:
    done = run("import", "--docker", "trust", "--name", "bob", "--passphrase-file", "pass", environ={})
    assert done.status == 2  # no such file
    (tmp_path / "pass").write_text(PASSPHRASE)
    done = run("import", "--docker", "trust", "--name", "bob", "--passphrase-file", "pass", environ={})
    assert (done.status, "the signer key of bob" in done.err) == (0, True)


def test_a_single_file_says_itself_what_it_is(run: Run, trust: Path) -> None:
    (path,) = [path for path in trust.rglob("*.key") if b"alice" in path.read_bytes()]
    done = run("import", str(path), environ=DOCKERS)
    assert (done.status, "the signer key of alice" in done.err) == (0, True)
    wrong = run("import", str(path), environ={"TRUSTKIT_SIGNER_PASSPHRASE": "another passphrase"})
    assert (wrong.status, "[wrong-passphrase]" in wrong.err) == (6, True)


def test_a_home_goes_to_docker_and_comes_back(run: Run, tmp_path: Path, trust: Path) -> None:
    run("import", "--docker", "trust", environ=DOCKERS)
    (tmp_path / "new").write_text("a passphrase of the export")
    done = run("export", "--docker", "out", "--new-passphrase-file", "new", environ=DOCKERS)
    assert done.status == 0, done.err
    paths = [Path(line) for line in done.out.split()]
    assert {path.name for path in paths} == {path.name for path in trust.rglob("*.key")}
    refused = run("export", "--docker", "out", environ=DOCKERS)
    assert (refused.status, "[key-exists]" in refused.err) == (6, True)
    (tmp_path / "home").rename(tmp_path / "old")
    assert run("import", "--docker", "out", "--passphrase-file", "new").status == 0


@pytest.mark.parametrize(
    ("arguments", "status", "slug"),
    [
        (("import",), 2, "usage"),
        (("import", "x.pem", "--dry-run"), 2, "usage"),
        (("import", "x.pem", "--json"), 2, "usage"),
        (("import", "x.pem", "--docker", "trust"), 2, "usage"),
        (("import", "--docker", "trust", "--role", "root"), 2, "usage"),
        (("import", "--docker", "nowhere"), 1, "state"),
        (("export",), 2, "usage"),
        (("export", "11111111", "22222222"), 2, "usage"),
        (("export", "--docker", "out"), 2, "usage"),
        (("export", "--docker", "out", "--public"), 2, "usage"),
        (("export", "--docker", "out", "-o", "x.pem"), 2, "usage"),
    ],
)
def test_what_does_not_go_together(run: Run, arguments: tuple[str, ...], status: int, slug: str) -> None:
    done = run(*arguments)
    assert (done.status, f"[{slug}]" in done.err) == (status, True), done.err
