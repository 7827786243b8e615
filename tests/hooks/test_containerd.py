"""containerd's image verifier as containerd runs it: a process with single-dash flags and a descriptor to read."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.clock import make_clock
from tests.conftest import Need
from tests.hooks.node import OTHER, VERIFIER, Image, flags, run, signed
from tests.people import alice, carol, service
from tests.service import Person, RunningService
from trustkit.hooks.containerd import MAX_STDIN
from trustkit.hooks.judging import DESCRIPTOR

__all__ = ["alice", "carol", "service"]


@pytest.fixture(scope="module")
def image(service: RunningService, alice: Person, carol: Person) -> Image:
    return signed(service, alice, carol, "node/app")


def test_the_signed_digest_is_let_in_and_another_kept_out(carol: Person, image: Image) -> None:
    assert run(carol, *flags(f"{image.name}:v1", image.digest), feed=image.descriptor())[0] == 0
    status, reason = run(carol, *flags(f"{image.name}:v1", OTHER), feed=image.descriptor(digest=OTHER))
    assert status == 1
    for part in (f"{image.name}:v1", image.digest, OTHER, "[tag-moved]", "Pull it again"):
        assert part in reason


@pytest.mark.parametrize(
    ("name", "digest", "slug"),
    [
        ("{name}@{digest}", "{digest}", ""),
        ("{name}:v1@{digest}", "{digest}", ""),
        ("{name}:v2", "{digest}", "unsigned"),
        ("{name}@" + OTHER, OTHER, "unsigned"),
        ("{name}@" + OTHER, "{digest}", "unsigned"),
        ("{name}@{digest}", OTHER, "tag-moved"),
        ("{name}:v1@" + OTHER, OTHER, "tag-moved"),
        ("127.0.0.1:1/other:v1", "{digest}", "no-pin"),
    ],
)
def test_what_a_name_asks_for_is_what_counts(carol: Person, image: Image, name: str, digest: str, slug: str) -> None:
    digest = digest.format(digest=image.digest)
    told = image.descriptor(digest=digest)
    status, reason = run(carol, *flags(name.format(name=image.name, digest=image.digest), digest), feed=told)
    assert (status, f"[{slug}]" in reason) == (1 if slug else 0, bool(slug)), reason


def test_a_length_that_is_not_the_signed_one(carol: Person, image: Image) -> None:
    told = image.descriptor(size=image.length + 1)
    status, reason = run(carol, *flags(f"{image.name}:v1", image.digest), feed=told)
    assert (status, "[digest-mismatch]" in reason) == (1, True)


def test_a_descriptor_with_more_in_it(carol: Person, image: Image) -> None:
    """Go writes what isn't ASCII as it is."""
    told = json.loads(
        image.descriptor(annotations={"org.example.\u00fc": "\u00e4 \U0001f600"}, platform={"os": "linux"})
    )
    feed = json.dumps(told, ensure_ascii=False) + "\n"
    assert run(carol, *flags(f"{image.name}:v1", image.digest), feed=feed)[0] == 0


def test_nothing_at_standard_input_is_told_in_time(carol: Person, image: Image) -> None:
    """Whoever runs it may keep the other end open and say nothing."""
    command = [str(VERIFIER), *flags(f"{image.name}:v1", image.digest), "-timeout", "1"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=carol.environment(), text=True, **pipes) as process:
        assert process.wait(20) == 1
        assert process.stdout is not None
        reason = process.stdout.read()
    assert "[timed-out]" in reason
    assert image.name in reason


def test_what_has_expired_is_refused(carol: Person, image: Image, need: Need, tmp_path: Path) -> None:
    clock = make_clock(need, tmp_path / "clock")
    asked, feed = flags(f"{image.name}:v1", image.digest), image.descriptor()
    assert run(carol, *asked, feed=feed, environ=clock.environ)[0] == 0
    clock.ahead(days=8)
    status, reason = run(carol, *asked, feed=feed, environ=clock.environ)
    assert (status, "[expired]" in reason) == (1, True), reason


MALFORMED = {
    "nothing": "",
    "no JSON": "{",
    "a list": "[]",
    "another digest": json.dumps({"mediaType": "x", "digest": OTHER, "size": 1}),
    "no digest": json.dumps({"mediaType": "x", "size": 1}),
    "no size": '{"mediaType": "x", "digest": "DIGEST"}',
    "a size below zero": '{"mediaType": "x", "digest": "DIGEST", "size": -1}',
    "a size that is true": '{"mediaType": "x", "digest": "DIGEST", "size": true}',
    "a size in words": '{"mediaType": "x", "digest": "DIGEST", "size": "1"}',
    "no media type": '{"digest": "DIGEST", "size": 1}',
    "a member twice": '{"mediaType": "x", "digest": "DIGEST", "size": 1, "size": 2}',
    "too long": " " * (MAX_STDIN + 1) + "{}",
    "too deep": "[" * 20_000,
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_descriptor_that_is_none(carol: Person, image: Image, text: str) -> None:
    told = text.replace("DIGEST", image.digest)
    status, reason = run(carol, *flags(f"{image.name}:v1", image.digest), feed=told)
    assert (status, "[usage]" in reason) == (1, True), reason


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-name"],
        ["-name", "a", "-name", "b"],
        ["-verbose", "1"],
        ["name"],
        ["-name", "x y", "-digest", OTHER, "-stdin-media-type", DESCRIPTOR],
        ["-name", "r.example/a:v1", "-digest", "sha256:no", "-stdin-media-type", DESCRIPTOR],
        ["-name", "r.example/a:v1", "-digest", OTHER, "-stdin-media-type", "application/json"],
        ["-name", "r.example/a:v1", "-digest", OTHER, "-stdin-media-type", DESCRIPTOR, "-timeout", "soon"],
        ["-name", "r.example/../a:v1", "-digest", OTHER, "-stdin-media-type", DESCRIPTOR],
        ["-name", "r.example/a:v1\n0", "-digest", OTHER, "-stdin-media-type", DESCRIPTOR],
    ],
)
def test_flags_that_containerd_does_not_give(carol: Person, arguments: list[str]) -> None:
    assert run(carol, *arguments, feed="{}")[0] == 1


@contextmanager
def answering(reply: bytes) -> Iterator[str]:
    """A port that takes connections and answers each with the same bytes, or with nothing, for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            held.append(connection)
            if reply:
                connection.recv(4096)
                connection.sendall(reply)
                connection.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        for connection in held:
            connection.close()


HTML = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>"


@pytest.mark.parametrize("reply", [b"", HTML, b"\x00\x01"], ids=["hangs", "HTML", "no HTTP"])
def test_a_service_that_does_not_answer_as_it_should(carol: Person, image: Image, reply: bytes) -> None:
    with answering(reply) as host:
        carol("pin", "add", f"{host}/app", "--root-key", "0" * 64)
        began = time.monotonic()
        status, _ = run(carol, *flags(f"{host}/app:v1", image.digest), "-timeout", "2", feed=image.descriptor())
        assert status == 1
        assert time.monotonic() - began < 8


def test_a_service_that_is_down(carol: Person, image: Image) -> None:
    carol("pin", "add", "127.0.0.1:1/app", "--root-key", "0" * 64)
    status, reason = run(carol, *flags("127.0.0.1:1/app:v1", image.digest), feed=image.descriptor())
    assert (status, "[unreachable]" in reason) == (1, True)
    assert reason.endswith("trustkit doctor 127.0.0.1:1/app")


@pytest.mark.parametrize(
    ("rule", "name", "status"),
    [
        ('mode = "digest-only"', "{name}:v2", 1),
        ('mode = "digest-only"', "{name}@{digest}", 0),
        ('mode = "digest-only"', "{name}@" + OTHER, 1),
        ('mode = "unsafe_allow_unsigned"', "{name}:v2", 0),
        ("detect = true", "{name}:v2", 0),
        ('digests = "refuse"', "{name}@{digest}", 1),
        ('digests = "refuse"', "{name}:v1", 0),
    ],
)
def test_the_policy_decides(carol: Person, image: Image, tmp_path: Path, rule: str, name: str, status: int) -> None:
    """In digest-only, a digest that a registry gave for a tag is nobody's word: the name has to have it."""
    file = tmp_path / "policy.toml"
    file.write_text(f'version = 1\n[[rule]]\npattern = "{image.name}"\n{rule}\n')
    asked = flags(name.format(name=image.name, digest=image.digest), image.digest)
    assert run(carol, *asked, feed=image.descriptor(), environ={"TRUSTKIT_POLICY": str(file)})[0] == status


def test_installed_it_is_found_by_containerd_and_runs_as_written(carol: Person, image: Image, tmp_path: Path) -> None:
    folder = tmp_path / "it's a folder"
    policy = tmp_path / "policy.toml"
    policy.write_text(f'version = 1\n[[rule]]\npattern = "{image.name}"\n')
    arguments = ["install", "containerd", "--bin-dir", str(folder), "--policy", str(policy)]
    dry = carol(*arguments, "--dry-run")
    assert (dry.status, dry.out.startswith("#!/bin/sh\n"), folder.exists()) == (0, True, False)
    done = carol(*arguments)
    assert (done.status, f'bin_dir = "{folder}"' in done.err) == (0, True)
    executable = folder / "trustkit"
    assert executable.stat().st_mode & 0o777 == 0o755
    assert " -SEPc " in executable.read_text(), "Python loads nothing that lies about"
    for name, status in ((f"{image.name}:v1", 0), (f"{image.name}:v2", 1)):
        ran = subprocess.run(
            [str(executable), *flags(name, image.digest)], input=image.descriptor(), text=True, env={}, check=False
        )
        assert ran.returncode == status
    assert carol(*arguments).status == 0, "a second time is an upgrade"
    assert carol(*arguments, "--uninstall").status == 0
    assert not executable.exists()
    executable.write_text("#!/bin/sh\nexit 0\n")
    assert carol(*arguments).slug == "conflict"
    assert carol(*arguments, "--uninstall").slug == "conflict"


def test_where_its_parts_lie_apart_python_looks_for_them_itself(tmp_path: Path) -> None:
    apart, others = tmp_path / "apart", tmp_path / "others"
    for folder in (apart, others):
        folder.mkdir()
    for package in ("trustkit", "tuf"):
        found = find_spec(package)
        assert found is not None
        (apart / package).symlink_to(Path(str(found.origin)).parent)
    for part in Path(sysconfig.get_path("purelib")).iterdir():
        if part.name not in ("trustkit", "tuf"):
            (others / part.name).symlink_to(part)
    path = [str(apart), str(others)]
    code = f"import sys; sys.path += {path}; from trustkit.cli.install import _python; print(_python()[1])"
    done = subprocess.run([sys.executable, "-SEPc", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "-EPc\n", done.stderr


def test_what_goes_past_it_is_told(carol: Person, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("version = 2\n")
    arguments = ["install", "containerd", "--bin-dir", str(tmp_path / "bin"), "--config"]
    done = carol(*arguments, str(config))
    assert done.status == 0
    for words in (f"Warning: {config}: its version isn't 3", "its bin_dir is '/opt/containerd/image-verifier/bin'"):
        assert words in done.err
    assert "There is no /nowhere" in carol(*arguments, "/nowhere").err


def test_a_policy_with_a_typo_is_not_installed(carol: Person, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("version = 1\n[[rule]\n")
    refused = carol("install", "containerd", "--bin-dir", str(tmp_path / "bin"), "--policy", str(policy))
    assert (refused.slug, (tmp_path / "bin").exists()) == ("invalid-setting", False)
