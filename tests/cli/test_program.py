"""The program's end: quick, with the status of what was done, and nothing left out that is due at an end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TRUSTKIT = (sys.executable, "-m", "trustkit")
ENVIRON = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def _status(*arguments: str, stdout: Path | None = None) -> int:
    with (stdout or Path(os.devnull)).open("w") as out:
        command = [*TRUSTKIT, *arguments]
        return subprocess.run(command, env=ENVIRON, stdout=out, stderr=subprocess.DEVNULL, timeout=60).returncode


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("--version",), 0), (("pin", "list"), 0), (("--no-such-flag",), 2), (("verify", "r.example.com/app:v1"), 3)],
)
def test_the_status_is_that_of_what_was_done(arguments: tuple[str, ...], status: int, tmp_path: Path):
    assert _status("--home", str(tmp_path), *arguments) == status


def test_output_that_is_not_written_is_no_success(tmp_path: Path):
    assert _status("--home", str(tmp_path), "policy", "check", "--help", stdout=Path("/dev/full")) not in (0, None)


def test_what_is_due_at_the_end_is_done_before_it(tmp_path: Path):
    """What others have registered, and threads that a process waits for."""
    code = (
        "import atexit, pathlib, sys, threading, time\n"
        "from trustkit.cli import app\n"
        "def main():\n"
        "    atexit.register(pathlib.Path(sys.argv[1]).write_text, 'done')\n"
        "    threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()\n"
        "    sys.exit(5)\n"
        "app.main = main\n"
        "app.program()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "told")]
    done = subprocess.run(command, env=ENVIRON, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (5, "thread\n", "")
    assert (tmp_path / "told").read_text() == "done"


def _said(*arguments: str, stdout: Path | None = None, without: str = "", environ: dict[str, str] | None = None):
    """What a program says on stderr, and its status; ``without`` is a package that isn't installed."""
    hide = f"import sys; sys.modules[{without!r}] = None; " if without else ""
    code = f"{hide}from trustkit.cli.app import main; main()"
    with (stdout or Path(os.devnull)).open("w") as out:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], env={**ENVIRON, **(environ or {})}, stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        (("serve", "--data-dir", "service", "--listen", "127.0.0.1:0"), "uvicorn", "server"),
        (("admin", "--data-dir", "service", "principal", "add", "alice"), "sqlalchemy", "server"),
        (("demo",), "uvicorn", "server"),
    ],
)
def test_a_part_that_is_not_installed_is_named_with_what_brings_it(
    arguments: tuple[str, ...], package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    if arguments == ("demo",):  # its service is a process of its own: what it can't import is hidden there, too
        hidden = tmp_path / "hidden"
        hidden.mkdir()
        (hidden / "uvicorn.py").write_text("raise ModuleNotFoundError('no uvicorn', name='uvicorn')\n")
        status, said = _said(*arguments, environ={"PYTHONPATH": str(hidden)})
    else:
        status, said = _said(*arguments, without=package)
    assert f"pip install 'trustkit[{extra}]'" in said
    assert "bug" not in said
    assert "Traceback" not in said
    assert status == 2


def test_output_that_is_full_is_told_as_that(tmp_path: Path):
    status, said = _said("--home", str(tmp_path), "key", "list", stdout=Path("/dev/full"))
    assert (status, said.partition("\n")[0]) == (
        1,
        "trustkit: The output can't be written: no space left on device. [state]",
    )


def test_a_command_mistyped_is_told_with_what_was_meant():
    status, said = _said("verfy", "r.example.com/app:v1")
    assert status == 2
    assert "Did you mean verify?" in said


def test_each_command_stands_in_one_section_of_the_help():
    from trustkit.cli.app import COMMANDS, SECTIONS

    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(COMMANDS)


def test_help_for_a_command_of_admin_takes_no_data_folder():
    assert _status("admin", "principal", "add", "--help") == 0
    status, said = _said("admin", "principal", "list")
    assert (status, "trustkit admin --data-dir DIR COMMAND" in said) == (2, True)


def test_a_long_name_is_told_once_and_cut():
    name = "r.example.com/" + "a" * 300 + ":v1"
    status, said = _said("verify", name)
    assert status == 2
    assert len(said) < 700


def test_a_service_that_is_not_reached_is_told_with_the_next_step(tmp_path: Path):
    pinned = ("pin", "add", "127.0.0.1:9/*", "--root-key", "0" * 64)
    assert _status("--home", str(tmp_path), *pinned) == 0
    status, said = _said("--home", str(tmp_path), "verify", "127.0.0.1:9/app:v1")
    assert status == 4
    assert "127.0.0.1:9 can't be reached: connection refused. [unreachable]\n  Check the name and port" in said


def test_doctor_goes_on_where_it_may_not_look(tmp_path: Path):
    """Docker's folder can't be looked into: one finding of several, as where it is another user's."""
    status, said = _said("--home", str(tmp_path), "doctor", environ={"DOCKER_CONFIG": f"/{'a' * 300}"})
    assert "internal error" not in said
    assert status == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("pin", "list", "--home", "x"), "trustkit --home DIR COMMAND"),
        (("admin", "principal", "list", "--data-dir", "x"), "trustkit admin --data-dir DIR COMMAND"),
    ],
)
def test_an_option_in_the_wrong_place_is_told_with_the_right_one(arguments: tuple[str, ...], told: str):
    status, said = _said(*arguments)
    assert status == 2
    assert told in said


@pytest.mark.parametrize(("words", "expected"), [("trustkit si", "sign"), ("trustkit sign --fi", "--file")])
def test_a_shell_completes_commands_and_options(words: str, expected: str):
    code = "from trustkit.cli.app import main; import sys; sys.argv = ['trustkit']; main()"
    environ = {
        **ENVIRON, "_TRUSTKIT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60)
    assert f"plain,{expected}" in done.stdout.split()


def test_an_interruption_while_it_is_loaded_is_no_traceback():
    code = (
        "import sys, types\n"
        "class Interrupted(types.ModuleType):\n"
        "    def __getattr__(self, name): raise KeyboardInterrupt\n"
        "import trustkit.cli\n"
        "sys.modules['trustkit.cli.app'] = Interrupted('trustkit.cli.app')\n"
        "trustkit.cli.program()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRON, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "Aborted; nothing was done.\n")
