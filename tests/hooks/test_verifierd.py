"""The verifiers' helper: the same answers, sooner; and none where it is not to be believed, or not well."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.hooks.helping import ELSEWHERE, NOBODY, Running, helper, short_folder, stand_in, start, stranger
from tests.hooks.node import OTHER, Image, flags, run, signed
from tests.people import alice, carol
from tests.service import Person, RunningService

__all__ = ["alice", "carol"]

PROJECT = Path(__file__).parents[2]
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user as well")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    made = RunningService(tmp_path_factory.mktemp("service"), "--access-log").start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def image(service: RunningService, alice: Person, carol: Person) -> Image:
    return signed(service, alice, carol, "node/app")


@pytest.fixture(scope="module")
def helping(carol: Person, image: Image) -> Iterator[Running]:
    with helper(carol) as running:
        yield running


def check(
    person: Person, image: Image, tag: str = "v1", *more: str, digest: str = "", environ: dict[str, str] | None = None
) -> tuple[int, str]:
    """The verifier's answer, of a helper's or none: by itself it has a setting that is none."""
    digest = digest or image.digest
    asked = [*flags(f"{image.name}:{tag}", digest), *more]
    return run(person, *asked, feed=image.descriptor(digest=digest), environ={**ELSEWHERE, **(environ or {})})


def alone(person: Person, image: Image, *more: str, digest: str = "", socket: Path) -> tuple[int, str]:
    """The verifier's answer where it can do the work itself, with a helper's socket named."""
    digest = digest or image.digest
    asked = [*flags(f"{image.name}:v1", digest), *more]
    named = {"TRUSTKIT_VERIFIERD_SOCKET": str(socket)}
    return run(person, *asked, feed=image.descriptor(digest=digest), environ=named)


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it didn't happen"
        time.sleep(0.05)


def test_the_signed_digest_is_let_in_and_another_kept_out(helping: Running, carol: Person, image: Image) -> None:
    status, reason = check(carol, image)
    assert (status, "is allowed by the rule" in reason) == (0, True), reason
    status, reason = check(carol, image, digest=OTHER)
    assert status == 1
    for part in (f"{image.name}:v1", image.digest, OTHER, "[tag-moved]", "Pull it again"):
        assert part in reason
    status, reason = check(carol, image, "v2")
    assert (status, "[unsigned]" in reason) == (1, True)


def test_what_is_no_question_is_refused_as_without_a_helper(helping: Running, carol: Person, image: Image) -> None:
    asked = flags(f"{image.name}:v1", image.digest)
    for feed in ("", "[]", image.descriptor(size=-1), image.descriptor(digest=OTHER), '{"\U0001f600": 1}'):
        answers = [
            run(carol, *asked, feed=feed, environ=environ)
            for environ in (ELSEWHERE, {"TRUSTKIT_VERIFIERD_SOCKET": "/nowhere"})
        ]
        assert answers[0] == answers[1]
        assert (answers[0][0], "[usage]" in answers[0][1], image.name in answers[0][1]) == (1, True, True)


def test_without_a_helper_the_setting_would_be_refused(carol: Person, image: Image) -> None:
    status, reason = check(carol, image, environ={"TRUSTKIT_VERIFIERD_SOCKET": "/nowhere"})
    assert (status, "[invalid-setting]" in reason) == (1, True)


def test_the_socket_is_for_its_user_alone(helping: Running) -> None:
    assert helping.socket.stat().st_mode & 0o777 == 0o600
    assert helping.socket.parent.stat().st_mode & 0o077 == 0


def test_a_hundred_at_once_are_one_refresh(
    service: RunningService, alice: Person, carol: Person, helping: Running
) -> None:
    image = signed(service, alice, carol, "node/busy")
    asked = "GET /v2/node/busy/_trust/metadata/timestamp.json"
    before = service.log.read_text().count(asked)
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: check(carol, image, "v1", "-timeout", "60"), range(100)))
    assert {status for status, _ in answers} == {0}, answers
    assert service.log.read_text().count(asked) - before <= 2, "the verdict may have been refreshed ahead of its end"


def test_a_revoked_tag_is_refused_once_its_verdict_is_old(
    service: RunningService, alice: Person, carol: Person
) -> None:
    image = signed(service, alice, carol, "node/revoked")
    with short_folder() as folder:
        named = {"TRUSTKIT_VERIFIERD_SOCKET": str(folder / "s")}
        with helper(carol, "--max-age", "3", environ=named):
            assert check(carol, image, environ=named)[0] == 0
            assert alice("revoke", f"{image.name}:v1").status == 0
            revoked = time.monotonic()
            until(lambda: check(carol, image, environ=named)[0] == 1)
            assert time.monotonic() - revoked < 3 + 3
            assert "[unsigned]" in check(carol, image, environ=named)[1]


def test_a_tag_that_was_signed_anew_is_let_in_at_once(service: RunningService, alice: Person, carol: Person) -> None:
    """A kept verdict is older than what the registry sends, and nothing is refused by it."""
    old = signed(service, alice, carol, "node/moved")
    with short_folder() as folder:
        named = {"TRUSTKIT_VERIFIERD_SOCKET": str(folder / "s")}
        with helper(carol, "--max-age", "300", environ=named):
            assert check(carol, old, environ=named)[0] == 0
            new = signed(service, alice, carol, "node/moved", text="built again")
            assert new.digest != old.digest
            until(lambda: check(carol, new, environ=named)[0] == 0, 5)
            status, reason = check(carol, old, environ=named)
            assert (status, "[tag-moved]" in reason) == (1, True)


def test_a_change_of_policy_or_pins_counts_at_once(
    service: RunningService, alice: Person, carol: Person, tmp_path: Path
) -> None:
    image = signed(service, alice, carol, "node/ruled")
    policy = tmp_path / "policy.toml"
    rule = f'version = 1\n[[rule]]\npattern = "{image.name}"\n'
    policy.write_text(rule)
    with short_folder() as folder:
        named = {"TRUSTKIT_VERIFIERD_SOCKET": str(folder / "s"), "TRUSTKIT_POLICY": str(policy)}
        with helper(carol, "--max-age", "300", environ=named):
            assert check(carol, image, environ=named)[0] == 0
            for text, slug in (("version = 1\n", "policy-denies"), (f"{rule}digests = 1\n", "invalid-setting")):
                policy.write_text(text)
                status, reason = check(carol, image, environ=named)
                assert (status, f"[{slug}]" in reason) == (1, True), reason
            policy.write_text(rule)
            assert check(carol, image, environ=named)[0] == 0
            assert carol("pin", "remove", image.name).status == 0
            status, reason = check(carol, image, environ=named)
            assert (status, "[no-pin]" in reason) == (1, True)


def test_a_verifier_with_another_policy_or_home_does_the_work_itself(
    helping: Running, carol: Person, image: Image, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("version = 1\n")
    asked, feed = flags(f"{image.name}:v1", image.digest), image.descriptor()
    status, reason = run(carol, *asked, feed=feed, environ={"TRUSTKIT_POLICY": str(policy)})
    assert (status, "[policy-denies]" in reason) == (1, True)
    other = {"TRUSTKIT_HOME": str(tmp_path / "home"), "TRUSTKIT_VERIFIERD_SOCKET": str(helping.socket)}
    status, reason = run(carol, *asked, feed=feed, environ=other)
    assert (status, "[no-pin]" in reason) == (1, True)


@ROOT
def test_a_strangers_socket_lets_nothing_in(carol: Person, image: Image) -> None:
    with stranger() as path:
        assert alone(carol, image, socket=path)[0] == 0
        status, reason = alone(carol, image, digest=OTHER, socket=path)
        assert (status, "[tag-moved]" in reason) == (1, True)


@ROOT
def test_another_user_gets_no_answer(carol: Person) -> None:
    with short_folder() as folder, helper(carol, "--socket", str(folder / "s")) as running:
        folder.chmod(0o755)
        running.socket.chmod(0o666)
        assert json.loads(running.ask(b"{}\n"))["status"] == 2
        ask = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
        ask += "print('connected', flush=True)\ns.sendall(b'{}\\n')\nprint(s.recv(9))"
        done = subprocess.run(
            ["/usr/bin/env", "python3", "-c", ask, str(running.socket)],
            user=NOBODY,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.stdout.startswith("connected")
        assert "status" not in done.stdout


ANSWERS = {
    "it dies in the middle": b"",
    "it dies in the answer": b'{"status": 0, "rea',
    "no JSON": b"\x00\xff\n",
    "no reason": b'{"status": 0, "reason": ""}\n',
    "a status that is none": b'{"status": 2, "reason": "x"}\n',
    "something after it": b'{"status": 0, "reason": "x"} \n',
    "a string without end": b'{"status": 0, "reason": "x\n',
    "more than an answer": b"x" * 100_000,
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_the_work_is_done_where_the_helper_fails(carol: Person, image: Image, answer: bytes) -> None:
    with stand_in(answer) as path:
        assert alone(carol, image, socket=path)[0] == 0
        status, reason = alone(carol, image, digest=OTHER, socket=path)
        assert (status, "[tag-moved]" in reason) == (1, True)


def test_what_a_helper_of_this_user_says_counts(carol: Person, image: Image) -> None:
    """So the tests before this one can fail."""
    with stand_in(b'{"status": 0, "reason": "x"}\n') as path:
        assert alone(carol, image, digest=OTHER, socket=path) == (0, "x")


def test_a_verifier_with_a_helper_loads_next_to_nothing(carol: Person, image: Image) -> None:
    code = "import sys; from os import environ; from trustkit.hooks.containerd import answer\n"
    code += "print(*answer(sys.argv[1:], sys.stdin.buffer, environ)); print(*sys.modules)"
    command = [sys.executable, "-ESPc", f"import sys; sys.path.append({str(PROJECT)!r}); {code}"]
    with stand_in(b'{"status": 0, "reason": "x"}\n') as path:
        environ = {**carol.environment(), "TRUSTKIT_VERIFIERD_SOCKET": str(path)}
        asked = [*command, *flags(f"{image.name}:v1", image.digest)]
        done = subprocess.run(
            asked, env=environ, input=image.descriptor(), capture_output=True, text=True, check=True
        )
    said, loaded = done.stdout.splitlines()
    assert said == "0 x"
    assert set(loaded.split()).isdisjoint({"socket", "json", "re", "enum", "typing", "threading", "trustkit.errors"})


def test_the_work_is_done_where_the_helper_hangs(carol: Person, image: Image) -> None:
    with stand_in(None) as path:
        began = time.monotonic()
        assert alone(carol, image, "-timeout", "8", socket=path)[0] == 0
        assert time.monotonic() - began < 8


def test_a_service_that_is_down_or_hangs_is_told_in_time(helping: Running, carol: Person, image: Image) -> None:
    assert carol("pin", "add", "127.0.0.1:1/app", "--root-key", "0" * 64).status == 0
    down = Image("127.0.0.1:1/app", image.digest, image.length)
    status, reason = check(carol, down)
    assert (status, "[unreachable]" in reason) == (1, True)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        name = f"127.0.0.1:{listener.getsockname()[1]}/app"
        assert carol("pin", "add", name, "--root-key", "0" * 64).status == 0
        began = time.monotonic()
        status, reason = check(carol, Image(name, image.digest, 1), "v1", "-timeout", "3")
        assert (status, "[timed-out]" in reason, name in reason) == (1, True, True), reason
        assert time.monotonic() - began < 3


def test_a_killed_one_leaves_a_socket_that_the_next_replaces(carol: Person, image: Image) -> None:
    with short_folder() as folder:
        named = {"TRUSTKIT_VERIFIERD_SOCKET": str(folder / "s")}
        with helper(carol, environ=named) as first:
            first.process.kill()
            first.process.wait()
        assert first.socket.exists()
        assert alone(carol, image, socket=first.socket)[0] == 0
        with helper(carol, environ=named) as second:
            assert check(carol, image, environ=named)[0] == 0
            refused = carol("verifierd", environ=named)
            assert (refused.status, refused.slug) == (1, "conflict")
            assert check(carol, image, environ=named)[0] == 0
            second.process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once(carol: Person, number: signal.Signals) -> None:
    with short_folder() as folder:
        running = start(carol, "--socket", str(folder / "s"))
        with running.connect():
            running.process.send_signal(number)
            _, errors = running.process.communicate(timeout=3)
        assert (running.process.returncode, running.socket.exists(), errors) == (0, False, "")


def test_places_where_no_socket_goes(carol: Person, tmp_path: Path) -> None:
    with short_folder(0o777) as folder:
        assert carol("verifierd", "--socket", str(folder / "s")).slug == "state"
    with short_folder() as folder:
        (folder / "s").write_text("mine")
        assert carol("verifierd", "--socket", str(folder / "s")).slug == "conflict"
        assert (folder / "s").read_text() == "mine"
    assert carol("verifierd", "--socket", f"/tmp/{'x' * 110}").slug == "invalid-setting"
    assert carol("verifierd", "--socket", "here").slug == "invalid-setting"
    policy = tmp_path / "policy.toml"
    policy.write_text("version = 1\n[[rule]\n")
    refused = carol("verifierd", "--policy", str(policy))
    assert (refused.slug, "line 2" in refused.err) == ("invalid-setting", True)


def test_no_connection_stays_open_for_good(carol: Person, image: Image) -> None:
    """With --max-age 0, everything is opened anew for each question."""
    asked = {"arguments": flags(f"{image.name}:v1", image.digest), "input": image.descriptor(), "seconds": 5}
    asked |= {"home": carol.environment()["TRUSTKIT_HOME"], "policy": None}
    with short_folder() as folder, helper(carol, "--max-age", "0", "--socket", str(folder / "s")) as running:
        for _ in range(60):
            assert json.loads(running.ask(json.dumps(asked).encode() + b"\n"))["status"] == 0
        assert len(list(Path(f"/proc/{running.process.pid}/fd").iterdir())) < 20


def test_requests_are_bounded_and_garbage_ends_nothing(helping: Running, carol: Person, image: Image) -> None:
    assert helping.ask(b"x" * (1 << 20)) == b""
    for garbage in (b"\n", b"\xff\n", b"[]\n", b"[" * 100_000 + b"\n", b'{"arguments": 1}\n'):
        assert json.loads(helping.ask(garbage))["status"] == 2
    idle = [helping.connect() for _ in range(100)]
    assert check(carol, image)[0] == 0
    for connection in idle:
        connection.close()
