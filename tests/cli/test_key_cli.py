"""``trustkit key``, as a process: what it prints where, and its exit statuses."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trustkit.cli.app import cli
from trustkit.errors import TrustkitError, UsageError

Run = Callable[..., Result]
PASSPHRASE = "correct horse"
TRUSTKIT = (sys.executable, "-c", "from trustkit.cli import main; main()")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs ``trustkit --home ...`` in this process; a refusal is ``result.exception``."""

    def call(*arguments: str, environ: dict[str, str] | None = None, fails: type[Exception] | None = None) -> Result:
        unset = {name: None for name in os.environ if "PASSPHRASE" in name or name.startswith("TRUSTKIT")}
        result = CliRunner().invoke(
            cli,
            ["--home", str(tmp_path / "home"), *arguments],
            env={**unset, "TRUSTKIT_ROOT_PASSPHRASE": PASSPHRASE, **(environ or {})},
            standalone_mode=False,
        )
        if fails is None:
            assert result.exception is None, result.exception
        else:
            assert isinstance(result.exception, fails), result
        return result

    return call


def process(home: Path, *arguments: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the real command, with nobody at a terminal."""
    clean = {name: value for name, value in os.environ.items() if "PASSPHRASE" not in name}
    return subprocess.run(
        [*TRUSTKIT, "--home", str(home), *arguments],
        env={**clean, **(environ or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_generate_list_and_show(run: Run, tmp_path: Path) -> None:
    made = run("key", "generate", "--role", "root")
    key_id = made.stdout.strip()
    assert "the root key" in made.stderr
    gun = "registry.example.com/app"
    environ = {"TRUSTKIT_REPOSITORY_PASSPHRASE": "battery staple"}
    other = run("key", "generate", "--role", "repository", "--gun", gun, "--algorithm", "ecdsa-p256", environ=environ)
    assert json.loads(run("key", "list", "--format", "json").stdout) == [
        {
            "id": key_id,
            "role": "root",
            "gun": None,
            "name": None,
            "algorithm": "ed25519",
            "uri": None,
            "backed_up": None,
        },
        {
            "id": other.stdout.strip(),
            "role": "repository",
            "gun": gun,
            "name": None,
            "algorithm": "ecdsa-p256",
            "uri": None,
            "backed_up": None,
        },
    ]
    table = run("key", "list").stdout.splitlines()
    assert table[0].split()[0] == "ID"
    assert table[1].split() == [key_id, "root", "-", "ed25519", "never", "file"]
    shown = json.loads(run("key", "show", key_id[:8]).stdout)
    assert shown["public"].startswith("-----BEGIN PUBLIC KEY-----")
    assert shown["file"] == str(tmp_path / "home" / "keys" / f"{key_id}.pem")


def test_an_empty_list(run: Run) -> None:
    assert json.loads(run("key", "list", "--format", "json").stdout) == []


def test_export_and_import(run: Run, tmp_path: Path) -> None:
    key_id = run("key", "generate", "--role", "root").stdout.strip()
    copy = tmp_path / "copy.pem"
    (tmp_path / "new").write_text("another one\n")
    run("key", "export", key_id, "-o", str(copy), "--new-passphrase-file", str(tmp_path / "new"))
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    refused = run("key", "export", key_id, "-o", str(copy), fails=TrustkitError)
    assert refused.exception.slug == "key-exists"  # type: ignore[union-attr]
    run("key", "remove", "--yes", key_id)
    wrong = run("key", "import", str(copy), fails=TrustkitError)
    assert wrong.exception.slug == "wrong-passphrase"  # type: ignore[union-attr]
    taken = run("key", "import", str(copy), "--passphrase-file", str(tmp_path / "new"))
    assert taken.stdout.strip() == key_id
    listed = json.loads(run("key", "list", "--format", "json").stdout)
    assert [(row["id"], row["role"]) for row in listed] == [(key_id, "root")]


def test_export_to_stdout_is_what_openssl_opens(run: Run, tmp_path: Path) -> None:
    key_id = run("key", "generate", "--role", "root").stdout.strip()
    public = run("key", "export", "--public", key_id, environ={"TRUSTKIT_ROOT_PASSPHRASE": ""}).stdout
    copy = tmp_path / "copy.pem"
    copy.write_text(run("key", "export", key_id).stdout)
    done = subprocess.run(
        ["openssl", "pkey", "-in", copy, "-passin", f"pass:{PASSPHRASE}", "-pubout"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == public


def test_passwd(run: Run, tmp_path: Path) -> None:
    key_id = run("key", "generate", "--role", "root").stdout.strip()
    (tmp_path / "new").write_text("another one\n")
    run("key", "passwd", key_id, "--new-passphrase-file", str(tmp_path / "new"))
    run("key", "export", key_id, fails=TrustkitError)
    run("key", "export", key_id, environ={"TRUSTKIT_ROOT_PASSPHRASE": "another one"})
    nobody = run("key", "passwd", key_id, environ={"TRUSTKIT_ROOT_PASSPHRASE": "another one"}, fails=TrustkitError)
    assert nobody.exception.slug == "no-passphrase"  # type: ignore[union-attr]
    assert "--new-passphrase-file" in str(nobody.exception)


def test_remove_says_what_is_lost_and_asks(run: Run) -> None:
    key_id = run("key", "generate", "--role", "root").stdout.strip()
    refused = run("key", "remove", key_id, fails=UsageError)
    assert "every collection under this root" in refused.stderr
    assert "--yes" in str(refused.exception)
    run("key", "remove", key_id, "-y")
    assert json.loads(run("key", "list", "--format", "json").stdout) == []


@pytest.mark.parametrize(
    ("arguments", "status", "slug"),
    [
        (("key", "generate", "--role", "root"), 6, "no-passphrase"),
        (("key", "generate", "--role", "repository"), 2, "invalid-setting"),
        (("key", "generate", "--role", "repository", "--gun", "app"), 2, "invalid-name"),
        (("key", "generate", "--role", "signer", "--name", "targets"), 2, "invalid-name"),
        (("key", "generate", "--role", "root", "--passphrase-file", "/nonexistent/file"), 2, "invalid-setting"),
        (("key", "show", "0123456789"), 6, "key-missing"),
        (("key", "show", "xyz"), 2, "usage"),
        (("key", "import", "/nonexistent/file"), 6, "key-missing"),
        (("key", "import", "x.pem", "--name", "alice"), 2, "usage"),
    ],
)
def test_exit_statuses(tmp_path: Path, arguments: tuple[str, ...], status: int, slug: str) -> None:
    done = process(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert f"[{slug}]" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_passphrase_is_ever_printed(tmp_path: Path) -> None:
    made = process(tmp_path, "key", "generate", "--role", "root", environ={"TRUSTKIT_ROOT_PASSPHRASE": PASSPHRASE})
    key_id = made.stdout.strip()
    wrong = process(
        tmp_path, "--debug", "key", "export", key_id, environ={"TRUSTKIT_ROOT_PASSPHRASE": "hunter2hunter2"}
    )
    assert PASSPHRASE not in made.stdout + made.stderr
    assert "wrong-passphrase" in wrong.stderr
    assert "hunter2" not in wrong.stdout + wrong.stderr


def test_a_passphrase_through_a_descriptor(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, b"through a pipe\n")
    os.close(write)
    done = subprocess.run(
        [*TRUSTKIT, "--home", str(tmp_path), "key", "generate", "--role", "root", "--passphrase-fd", str(read)],
        pass_fds=(read,),
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(read)
    assert done.returncode == 0, done.stderr


def test_a_terminal_is_asked_twice_and_shows_nothing(tmp_path: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover - another process
        clean = {name: value for name, value in os.environ.items() if "PASSPHRASE" not in name}
        arguments = (*TRUSTKIT, "--home", str(tmp_path), "key", "generate", "--role", "root")
        os.execve(arguments[0], arguments, clean)
    seen = b""
    try:
        for prompt in (b"New passphrase for the root key: ", b"Repeat the passphrase for the root key: "):
            while prompt not in seen:
                seen += os.read(terminal, 1024)
            os.write(terminal, PASSPHRASE.encode() + b"\n")
        while b"Made the root key" not in seen:
            seen += os.read(terminal, 1024)
    finally:
        _, status = os.waitpid(child, 0)
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, seen
    assert PASSPHRASE.encode() not in seen
    assert b"is in no backup yet: trustkit key backup --to FILE" in seen
    assert len(list((tmp_path / "keys").glob("*.pem"))) == 1


def test_the_command_loads_no_service_and_no_keyring(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['trustkit', '--home', sys.argv[1], 'key', 'list']\n"
        "from trustkit.cli import main\n"
        "try: main()\n"
        "except SystemExit as done: assert not done.code\n"
        "print(*({'keyring', 'rich', 'sqlalchemy', 'fastapi', 'aiohttp', 'tuf.ngclient'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""
