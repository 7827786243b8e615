"""``trustkit docker-authz`` with an engine that asks it: whoever asks the engine, by whatever client."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.conftest import running_dockerd
from tests.real.elf import archive, exits
from tests.real.parts import Docker, Stand, Tool
from tests.service import Person, Result

pytestmark = pytest.mark.real

if platform.machine() != "x86_64":
    pytest.skip("the programs in these images are for x86-64", allow_module_level=True)
if os.geteuid() != 0:
    pytest.skip("needs root: docker looks for plugins in /etc/docker/plugins only", allow_module_level=True)

SPECS = Path("/etc/docker/plugins")
SIGNED = 7
"""What the signed program ends with."""
NO_NETWORK = ("--network", "none")


@dataclass
class Guarded:
    """An engine that asks the plugin, and images that it may have and others.

    Args:
        docker: towards the guarded engine.
        free: towards an engine that asks nobody.
        app: NAME; ``v1`` is signed, and the registry's tag has moved to an unsigned image; ``dev`` is unsigned.
    """

    docker: Docker
    free: Docker
    stand: Stand
    who: Person
    app: str
    digest: str
    moved: str
    socket: Path
    plugin: subprocess.Popen[str]
    start: list[str]

    def __call__(self, *arguments: str, feed: bytes = b"") -> Result:
        return self.docker(self.who, *arguments, feed=feed)

    def refused(self, *arguments: str, feed: bytes = b"") -> str:
        done = self(*arguments, feed=feed)
        assert done.status != 0, done.out
        assert "authorization denied by plugin" in done.err, done.err
        return done.err

    def has(self, reference: str) -> bool:
        return self("image", "inspect", reference).status == 0

    def raw(self, method: str, path: str, body: bytes = b"", *headers: tuple[str, str]) -> tuple[int, str]:
        """A request written by hand; a Content-Length only where it is given."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(60)
            connection.connect(self.docker.host.removeprefix("unix://"))
            head = "".join(f"{name}: {value}\r\n" for name, value in headers)
            with contextlib.suppress(BrokenPipeError):  # who refuses doesn't read on
                connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode() + body)
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            return answer.status, answer.read().decode()

    def restarted(self) -> None:
        assert self.plugin.poll() is not None
        self.plugin = _started(self.start, self.who)


def _started(command: list[str], who: Person) -> subprocess.Popen[str]:
    environ = {**os.environ, **who.environment()}
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip().endswith("authz.sock")
    return process


def _push(docker: Docker, stand: Stand, reference: str, status: int) -> str:
    changes = ("--change", 'CMD ["/run"]')
    assert docker({}, "import", *changes, "-", reference, feed=archive(exits(status))).status == 0
    return docker.push(stand.bob, reference)


@pytest.fixture(scope="module")
def guarded(
    embedded: Stand, docker: Docker, docker_cli: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    app, carol = f"{embedded.host}/authz/app", embedded.carol
    digest = _push(docker, embedded, f"{app}:v1", SIGNED)
    assert embedded.alice("sign", f"{app}:v1").status == 0
    moved = _push(docker, embedded, f"{app}:v1", 66)
    _push(docker, embedded, f"{app}:dev", 67)
    embedded.pinned(carol, app)
    folder = Path(tempfile.mkdtemp(prefix="tk-engine-"))
    made, listens = tmp_path_factory.mktemp("installed"), folder / "plugin" / "authz.sock"
    words = ["--socket", str(listens), "--engine", str(folder / "docker.sock")]
    installed = carol("install", "docker-authz", *words, "--specs", str(made), "--units", str(made))
    assert installed.status == 0, installed.err
    spec = SPECS / f"{folder.name}.json"
    SPECS.mkdir(parents=True, exist_ok=True)
    shutil.copy(made / "trustkit.json", spec)
    start = [sys.executable, "-m", "trustkit", "docker-authz", *words, "--max-age", "1"]
    process = _started(start, carol)
    try:
        with running_dockerd("--authorization-plugin", spec.stem, folder=folder) as path:
            theirs = Docker(Tool(docker_cli, {"DOCKER_HOST": f"unix://{path}"}))
            made_of = Guarded(theirs, docker, embedded, carol, app, digest, moved, listens, process, start)
            yield made_of
            process = made_of.plugin
    finally:
        process.kill()
        process.communicate()
        spec.unlink(missing_ok=True)
        docker.forget(f"{app}:v1", f"{app}:dev", f"{app}@{digest}", f"{app}@{moved}")


@pytest.fixture
def pulled(guarded: Guarded) -> str:
    """The signed image is on the engine under its name."""
    done = guarded.who("pull", f"{guarded.app}:v1", environ={"DOCKER_HOST": guarded.docker.host})
    assert done.status == 0, done.err
    return f"{guarded.app}:v1"


def test_what_only_looks_is_let_through(guarded: Guarded) -> None:
    for words in (
        ("version",),
        ("info",),
        ("images",),
        ("ps", "--all"),
        ("network", "ls"),
        ("volume", "create", "vol"),
    ):
        done = guarded(*words)
        assert done.status == 0, done.err


def test_a_signed_digest_is_pulled_and_a_tag_is_refused_with_what_to_type(guarded: Guarded) -> None:
    signed = f"{guarded.app}@{guarded.digest}"
    said = guarded.refused("pull", f"{guarded.app}:v1")
    assert f"docker pull {signed}" in said
    assert f"trustkit pull {guarded.app}:v1" in said
    assert guarded("pull", "--quiet", signed).status == 0
    for other in (f"{guarded.app}@{guarded.moved}", f"{guarded.app}:dev"):
        assert "[unsigned]" in guarded.refused("pull", other)
        assert not guarded.has(other)
    guarded.refused("pull", "--all-tags", guarded.app)
    assert guarded.has(signed)


def test_trustkit_pull_works_and_the_tag_can_then_be_run(guarded: Guarded, pulled: str) -> None:
    for name in (pulled, f"{guarded.app}@{guarded.digest}"):
        done = guarded("run", "--rm", *NO_NETWORK, name)
        assert done.status == SIGNED, done.err
    image = guarded("image", "inspect", "--format", "{{.Id}}", pulled).out.strip()
    assert guarded("run", "--rm", *NO_NETWORK, image).status == SIGNED
    guarded.refused("create", image.removeprefix("sha256:")[:12])


def test_containers_are_named_renamed_and_started_by_name(guarded: Guarded, pulled: str) -> None:
    """``db`` may be the beginning of an id as well."""
    assert guarded("create", "--name", "web", *NO_NETWORK, pulled).status == 0
    for words in (("rename", "web", "db"), ("update", "--restart", "no", "db"), ("start", "db"), ("rm", "-f", "db")):
        done = guarded(*words)
        assert done.status == 0, done.err


def test_docker_run_of_what_is_not_there_is_refused_with_what_to_type(guarded: Guarded) -> None:
    said = guarded.refused("run", "--rm", *NO_NETWORK, f"{guarded.app}:dev")
    assert "[unsigned]" in said
    guarded("image", "rm", "--force", f"{guarded.app}:v1", f"{guarded.app}@{guarded.digest}")
    assert f"Pull it: trustkit pull {guarded.app}:v1" in guarded.refused("create", f"{guarded.app}:v1")
    assert guarded("run", "--rm", *NO_NETWORK, f"{guarded.app}@{guarded.digest}").status == SIGNED


def test_no_other_way_brings_an_image(guarded: Guarded, pulled: str, tmp_path: Path) -> None:
    saved = tmp_path / "evil.tar"
    assert guarded.free({}, "save", "--output", str(saved), f"{guarded.app}:dev").status == 0
    assert "load: " in guarded.refused("load", "--input", str(saved))
    assert "import: " in guarded.refused("import", "-", "evil:latest", feed=archive(exits(1)))
    (tmp_path / "Dockerfile").write_text(f"FROM {guarded.app}:dev\n")
    done = guarded("build", "--tag", "evil", str(tmp_path))
    assert (done.status != 0, "build: " in done.err + done.out) == (True, True), done.err
    assert guarded("create", "--name", "kept", *NO_NETWORK, pulled).status == 0
    assert "commit: " in guarded.refused("commit", "kept", f"{guarded.app}:v1")
    status, said = guarded.raw("POST", f"/plugins/pull?remote={guarded.app}:dev", b"[]", ("Content-Length", "2"))
    assert (status, "plugins: " in said) == (403, True), said
    assert "swarm: " in guarded.refused("swarm", "init")
    guarded("rm", "kept")
    assert not guarded.has("evil:latest")
    assert guarded("images", "--quiet", "--no-trunc").out.split().count("") == 0


def test_a_tag_never_leaves_what_is_signed(guarded: Guarded, pulled: str) -> None:
    assert guarded("tag", f"{guarded.app}@{guarded.digest}", "elsewhere.example.com/app:v1").status == 0
    assert "only that gets its name here" in guarded.refused("tag", "elsewhere.example.com/app:v1", pulled)
    guarded.refused("create", "elsewhere.example.com/app:v1")
    assert guarded("image", "rm", "elsewhere.example.com/app:v1").status == 0


def test_a_tag_that_was_moved_before_is_found_out(guarded: Guarded, tmp_path: Path) -> None:
    """What is on the engine already, here by a plugin that lets it load, is taken for nothing."""
    saved = tmp_path / "evil.tar"
    assert guarded.free({}, "tag", f"{guarded.app}:dev", f"{guarded.app}:v1").status == 0
    assert guarded.free({}, "save", "--output", str(saved), f"{guarded.app}:v1").status == 0
    with instead(guarded, "--unsafe-allow", "load"):
        assert guarded("load", "--input", str(saved)).status == 0
    assert "has another image under that name" in guarded.refused("create", *NO_NETWORK, f"{guarded.app}:v1")
    image = guarded("image", "inspect", "--format", "{{.Id}}", f"{guarded.app}:v1").out.strip()
    assert "has no digest of a registry" in guarded.refused("create", *NO_NETWORK, image)
    guarded("image", "rm", "--force", image)


def test_many_at_once_wait_for_each_other(guarded: Guarded, pulled: str) -> None:
    """Each judgement asks the engine, which asks the plugin again; more than are judged at a time come at once."""
    body = json.dumps({"Image": pulled}).encode()
    headers = (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
    with ThreadPoolExecutor(100) as pool:
        made = list(pool.map(lambda _: guarded.raw("POST", "/containers/create", body, *headers), range(100)))
    assert [said for status, said in made if status != 201] == []
    assert guarded("container", "prune", "--force").status == 0


@contextlib.contextmanager
def instead(guarded: Guarded, *more: str) -> Iterator[None]:
    """The plugin with more options, for a while."""
    ordinary = guarded.start
    try:
        guarded.start = [*ordinary, *more]
        guarded.plugin.terminate()
        guarded.plugin.wait()
        guarded.restarted()
        yield
    finally:
        guarded.plugin.terminate()
        guarded.plugin.wait()
        guarded.start = ordinary
        guarded.restarted()


def test_detecting_refuses_nothing(guarded: Guarded) -> None:
    with instead(guarded, "--detect"):
        assert guarded("pull", "--quiet", f"{guarded.app}:dev").status == 0
    assert "is not signed" in guarded.refused("create", f"{guarded.app}:dev")
    guarded("image", "rm", "--force", f"{guarded.app}:dev")


def test_a_container_of_what_is_revoked_is_not_started_again(guarded: Guarded) -> None:
    name = f"{guarded.stand.host}/authz/revoked"
    digest = _push(guarded.free, guarded.stand, f"{name}:v1", SIGNED)
    assert guarded.stand.alice("sign", f"{name}:v1").status == 0
    guarded.stand.pinned(guarded.who, name)
    assert guarded("run", "--name", "once", *NO_NETWORK, f"{name}@{digest}").status == SIGNED
    assert guarded("start", "--attach", "once").status == SIGNED
    assert guarded.stand.alice("revoke", f"{name}:v1").status == 0
    threading.Event().wait(1.1)  # --max-age
    for words in (("start", "once"), ("restart", "once"), ("run", *NO_NETWORK, f"{name}@{digest}")):
        assert "once" in guarded.refused(*words) or "is refused by the rule" in guarded.refused(*words)
    guarded("rm", "once")
    guarded.free.forget(f"{name}:v1")


def test_a_form_in_the_body_does_not_change_what_is_pulled(guarded: Guarded) -> None:
    """Go reads a form before the query, and the engine shows plugins none of it."""
    signed = f"/v1.41/images/create?fromImage={quote(guarded.app, safe='')}&tag={quote(guarded.digest)}"
    evil = f"fromImage={guarded.app}&tag=dev".encode()
    form = ("Content-Type", "application/x-www-form-urlencoded")
    length = ("Content-Length", str(len(evil)))
    chunk = f"{len(evil):x}\r\n".encode() + evil + b"\r\n0\r\n\r\n"
    attempts = [
        (evil, form, length),
        (evil, form, ("Content-Type", "application/json"), length),
        (chunk, form, ("Transfer-Encoding", "chunked")),
        (chunk, form, ("Transfer-Encoding", "chunked"), ("Content-Length", "0")),
    ]
    for body, *headers in attempts:
        status, said = guarded.raw("POST", signed, body, *headers)
        assert status in (400, 403), (headers, said)
        assert not guarded.has(f"{guarded.app}:dev"), headers
    status, said = guarded.raw("POST", signed, b"", ("Content-Length", "0"), form)
    assert (status, guarded.has(f"{guarded.app}@{guarded.digest}")) == (200, True), said


def test_a_body_that_is_not_shown_makes_no_container(guarded: Guarded, pulled: str) -> None:
    """Too long for the engine to show, in chunks, of another type, or under an address for which it shows none."""
    guarded("tag", f"{guarded.app}@{guarded.digest}", "elsewhere.example.com/app:v1")
    made = {"Image": "elsewhere.example.com/app:v1", "Cmd": ["/run"]}
    body = json.dumps(made).encode()
    json_type, create = ("Content-Type", "application/json"), "/containers/create"
    padded = json.dumps({**made, "Labels": {"x": "x" * (1 << 20)}}).encode()
    attempts = [
        (create, padded, json_type, ("Content-Length", str(len(padded)))),
        (create, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), json_type, ("Transfer-Encoding", "chunked")),
        (f"{create}?x=/auth", body, json_type, ("Content-Length", str(len(body)))),
        (create, body, ("Content-Type", "application/json; charset=utf-8"), ("Content-Length", str(len(body)))),
        ("/v1.41/containers%2Fcreate", body, json_type, ("Content-Length", str(len(body)))),
        ("//containers/create", body, json_type, ("Content-Length", str(len(body)))),
        ("http://x/containers/create", body, json_type, ("Content-Length", str(len(body)))),
    ]
    for path, feed, *headers in attempts:
        status, said = guarded.raw("POST", path, feed, *headers)
        assert status in (301, 403), (path, headers, status, said)
    doubled = json.dumps({"Image": pulled}).encode()[:-1] + b', "image": "elsewhere.example.com/app:v1"}'
    status, said = guarded.raw("POST", create, doubled, json_type, ("Content-Length", str(len(doubled))))
    assert (status, "says Image twice" in said) == (403, True), said
    assert guarded("ps", "--all", "--quiet").out == ""
    guarded("image", "rm", "elsewhere.example.com/app:v1")


def test_without_the_service_nothing_is_let_in(guarded: Guarded, pulled: str) -> None:
    guarded.stand.service.stop()
    try:
        threading.Event().wait(1.1)  # --max-age
        for words in (("create", pulled), ("pull", f"{guarded.app}@{guarded.digest}")):
            assert "is refused by the rule" in guarded.refused(*words)
        assert guarded("images").status == 0
    finally:
        guarded.stand.service.start()


def test_without_the_plugin_the_engine_refuses_everything_until_it_is_back(guarded: Guarded) -> None:
    guarded.plugin.terminate()
    assert guarded.plugin.wait() == 0
    assert not guarded.socket.exists()
    process = subprocess.Popen(
        [guarded.docker.tool.program, "images"],
        env={**os.environ, **guarded.docker.tool.environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    guarded.restarted()
    process.communicate(timeout=60)
    assert guarded("images").status == 0
