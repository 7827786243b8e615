"""``docker trustkit``: the stock docker calls the installed plugin, and a real engine gets signed digests only."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.elf import archive, exits, waits
from tests.real.parts import SECONDS, Docker, Stand, Tool, within
from tests.service import Person, Result

pytestmark = pytest.mark.real

if platform.machine() != "x86_64":
    pytest.skip("the programs in these images are for x86-64", allow_module_level=True)

SIGNED, UNSIGNED = 7, 66
"""What the signed and the unsigned program end with."""
METADATA = '{"SchemaVersion": "0.1.0", "Vendor": "x", "Version": "1", "ShortDescription": "x"}'


@dataclass(frozen=True)
class Plugged:
    """Somebody with the plugin, and images of theirs and of others.

    Args:
        app: NAME; ``v1`` is signed, and the registry's tag has moved to an unsigned image; ``dev`` is unsigned.
        digest: what is signed for ``v1``.
        moved: what the registry's ``v1`` is.
    """

    docker: Docker
    who: Person
    app: str
    digest: str
    moved: str

    def __call__(self, *arguments: str, feed: bytes = b"", **environ: str) -> Result:
        return self.docker({**self.who.environment(), **environ}, *arguments, feed=feed)

    def made(self, done: Result) -> str:
        """What a container was made of, by its engine, which forgets it."""
        assert done.status == 0, done.err
        container = done.out.strip().splitlines()[-1]
        told = self("inspect", "--format", "{{.Config.Image}}", container).out.strip()
        self("rm", container)
        return told

    def on_engine(self, reference: str) -> bool:
        return self("image", "inspect", reference).status == 0


def _push(docker: Docker, stand: Stand, reference: str, program: bytes) -> str:
    changes = ("--change", 'CMD ["/run"]')
    assert docker({}, "import", *changes, "-", reference, feed=archive(program)).status == 0
    return docker.push(stand.bob, reference)


@pytest.fixture(scope="module")
def plugged(embedded: Stand, docker: Docker) -> Iterator[Plugged]:
    app, carol = f"{embedded.host}/plugin/app", embedded.carol
    digest = _push(docker, embedded, f"{app}:v1", exits(SIGNED))
    assert embedded.alice("sign", f"{app}:v1").status == 0
    moved = _push(docker, embedded, f"{app}:v1", exits(UNSIGNED))
    _push(docker, embedded, f"{app}:dev", exits(UNSIGNED))
    embedded.pinned(carol, app)
    installed = carol("install", "docker-plugin")
    assert installed.status == 0, installed.err
    assert "DOCKER_CONTENT_TRUST" in installed.err
    yield Plugged(docker, carol, app, digest, moved)
    docker.forget(f"{app}:v1", f"{app}:dev", f"{app}@{digest}", f"{app}@{moved}")


@pytest.fixture
def anew(plugged: Plugged) -> None:
    """The engine has the unsigned image under the signed tag, as somebody who may push has left it there."""
    plugged.docker.forget(f"{plugged.app}@{plugged.digest}")
    assert plugged("pull", "-q", f"{plugged.app}@{plugged.moved}").status == 0
    assert plugged("tag", f"{plugged.app}@{plugged.moved}", f"{plugged.app}:v1").status == 0


def test_docker_knows_the_plugin_and_lends_it_trustkit_s_commands(plugged: Plugged) -> None:
    plugins = json.loads(plugged("info", "--format", "{{json .ClientInfo.Plugins}}").out)
    (ours,) = (each for each in plugins if each["Name"] == "trustkit")
    assert ours.get("Err") is None
    for arguments in (("verify", f"{plugged.app}:v1", f"{plugged.app}:dev"), ("no-such-command",)):
        by_docker, alone = plugged("trustkit", *arguments), plugged.who(*arguments)
        assert (by_docker.status, by_docker.out) == (alone.status, alone.out)
        assert by_docker.err.replace("docker trustkit", "trustkit") == alone.err
    for words in (("trustkit", "--help"), ("help", "trustkit")):
        assert "Build on signed digests only." in plugged(*words).out
    assert "docker run [OPTIONS] IMAGE" in plugged("trustkit", "run", "--help").out


def test_pull_takes_the_signed_digest_and_tags_it(plugged: Plugged, anew: None) -> None:
    done = plugged("trustkit", "pull", f"{plugged.app}:v1")
    assert (done.status, done.out.strip()) == (0, f"{plugged.app}:v1@{plugged.digest}")
    assert plugged.docker.digests(f"{plugged.app}:v1") == [f"{plugged.app}@{plugged.digest}"]


def test_pull_refuses_what_is_not_signed_and_says_why(plugged: Plugged) -> None:
    refs = (f"{plugged.app}:dev", f"{plugged.app}:v1")
    done = plugged("trustkit", "pull", "--quiet", *refs)
    assert done.status == 3
    assert f"{plugged.app}:dev is not signed. [unsigned]\n  Its publisher signs it with: trustkit sign" in done.err
    assert done.out.strip() == f"{plugged.app}:v1@{plugged.digest}"
    assert plugged("trustkit", "pull", "--all-tags", plugged.app).status == 2


def test_run_runs_the_signed_image_whatever_the_tag_is_here_or_there(plugged: Plugged, anew: None) -> None:
    done = plugged("trustkit", "run", "--rm", "--network", "none", f"{plugged.app}:v1")
    assert done.status == SIGNED, done.err
    assert not done.out
    refused = plugged("trustkit", "run", "--rm", "--network", "none", "-e", "TOKEN=hunter2", f"{plugged.app}:dev")
    assert refused.status == 125
    assert "is not signed. [unsigned]" in refused.err
    assert "hunter2" not in refused.out + refused.err


@pytest.mark.parametrize(
    "words", [[], ["--pull", "always"], ["--net=none", "-it", "--"], ["--platform", "linux/amd64"]]
)
def test_a_container_is_made_by_the_digest_that_was_verified(plugged: Plugged, anew: None, words: list[str]) -> None:
    made = plugged.made(plugged("trustkit", "create", "--quiet", *words, f"{plugged.app}:v1", "/run", "--rm"))
    assert made == f"{plugged.app}@{plugged.digest}"
    assert plugged.docker.digests(f"{plugged.app}:v1") == [f"{plugged.app}@{plugged.digest}"]


def test_pull_never_is_docker_s(plugged: Plugged, anew: None) -> None:
    done = plugged("trustkit", "create", "--pull", "never", f"{plugged.app}:v1")
    assert done.status != 0
    assert not plugged.on_engine(f"{plugged.app}@{plugged.digest}")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["APP@MOVED"], 3, "[unsigned]"),
        (["APP:v1@MOVED"], 3, "[tag-moved]"),
        (["APP:dev"], 3, "[unsigned]"),
        (["--disable-content-trust=true", "APP:dev"], 3, "the policy decides"),
        (["ID"], 2, "is an image's id"),
        (["--mount", "type=image,source=APP:dev,target=/x", "APP:v1"], 3, "[unsigned]"),
        (["alpine"], 3, "docker.io/library/alpine"),
        ([], 2, "names no image"),
    ],
)
def test_what_create_refuses(plugged: Plugged, words: list[str], status: int, said: str) -> None:
    swaps = {"APP": plugged.app, "MOVED": plugged.moved}
    if "ID" in words:
        image = plugged("image", "inspect", "--format", "{{.Id}}", f"{plugged.app}:dev").out.strip()
        swaps["ID"] = image.removeprefix("sha256:")[:12]
    for name, value in swaps.items():
        words = [word.replace(name, value) for word in words]
    done = plugged("trustkit", "create", *words)
    assert done.status == status, done.err
    assert said in done.err
    assert not done.out


def _policy(folder: Path, plugged: Plugged, rule: str) -> dict[str, str]:
    file = folder / "policy.toml"
    file.write_text(f'version = 1\n[[rule]]\npattern = "{plugged.app}"\n{rule}\n')
    return {"TRUSTKIT_POLICY": str(file)}


def test_a_policy_that_takes_unsigned_images_is_obeyed_aloud(plugged: Plugged, tmp_path: Path) -> None:
    environ = _policy(tmp_path, plugged, 'mode = "unsafe_allow_unsigned"')
    done = plugged("trustkit", "create", f"{plugged.app}:dev", **environ)
    assert "WARNING" in done.err
    assert plugged.made(done) == f"{plugged.app}:dev"


def test_a_policy_of_digests_takes_digests_only(plugged: Plugged, tmp_path: Path) -> None:
    environ = _policy(tmp_path, plugged, 'mode = "digest-only"')
    refused = plugged("trustkit", "create", f"{plugged.app}:v1", **environ)
    assert (refused.status, "[policy-denies]" in refused.err) == (3, True), refused.err
    done = plugged("trustkit", "create", f"{plugged.app}@{plugged.moved}", **environ)
    assert plugged.made(done) == f"{plugged.app}@{plugged.moved}"


def test_global_flags_reach_docker(plugged: Plugged, tmp_path: Path) -> None:
    """The engine of --host is asked, and the configuration of --config is used, whatever the environment says."""
    away = plugged("--host", f"unix://{tmp_path}/none.sock", "trustkit", "pull", "-q", f"{plugged.app}:v1")
    assert (away.status, "none.sock" in away.err) == (1, True), away.err
    config = str(plugged.who.home / "docker")
    here = plugged("--config", config, "-l", "error", "trustkit", "pull", "-q", f"{plugged.app}:v1", DOCKER_CONFIG="")
    assert here.status == 0, here.err


def test_it_ends_when_docker_is_told_to_end(plugged: Plugged, embedded: Stand) -> None:
    """Without a terminal docker alone gets the signal; it closes a socket for its plugins to see."""
    name = f"{embedded.host}/plugin/waits"
    _push(plugged.docker, embedded, f"{name}:v1", waits())
    assert embedded.alice("sign", f"{name}:v1").status == 0
    embedded.pinned(plugged.who, name)
    words = ("trustkit", "run", "--rm", "--pid", "host", "--network", "none", "--name", "waits", f"{name}:v1")
    environ = {**os.environ, **plugged.docker.tool.environ, **plugged.who.environment()}

    def runs() -> bool:
        return "waits" in plugged("ps", "--format", "{{.Names}}").out

    process = subprocess.Popen([plugged.docker.tool.program, *words], env=environ, stdin=subprocess.DEVNULL)
    try:
        assert within(SECONDS, lambda: process.poll() is not None or runs())
        assert process.poll() is None  # whoever has ended starts nothing more
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) != 0
        assert within(SECONDS, lambda: not runs())
    finally:
        plugged("rm", "--force", "waits")
        process.kill()
        process.wait()
        plugged.docker.forget(f"{name}:v1")


DOCKERFILE = """\
ARG TAG=v1
FROM APP:${TAG} AS base
FROM base
COPY --from=APP:v1 /run /copied
COPY . /context/
"""


@pytest.fixture
def context(plugged: Plugged, tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE.replace("APP", plugged.app))
    (folder / "kept").write_text("kept")
    (folder / "secret").write_text("secret")
    (folder / ".dockerignore").write_text("secret\n")
    return folder


def _built(plugged: Plugged, done: Result, folder: Path) -> dict[str, bytes]:
    """The files of what was built."""
    assert done.status == 0, done.out + done.err
    container = plugged("create", "built:here", "x").out.strip()
    assert plugged("export", "--output", str(folder / "built.tar"), container).status == 0
    plugged("rm", container)
    plugged.docker.forget("built:here")
    with tarfile.open(folder / "built.tar") as tar:
        return {each.name: tar.extractfile(each).read() for each in tar if each.isfile()}  # type: ignore[union-attr]  # a file's


def _build(plugged: Plugged, folder: Path, *words: str, feed: bytes = b"", **environ: str) -> Result:
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    environ = {"DOCKER_BUILDKIT": "0", "TMPDIR": str(temporary), **environ}
    done = plugged("trustkit", "build", "--network", "none", "-t", "built:here", *words, feed=feed, **environ)
    assert not list(temporary.iterdir())
    return done


def test_build_builds_on_signed_digests_with_its_own_context(plugged: Plugged, context: Path, tmp_path: Path) -> None:
    before = (context / "Dockerfile").read_bytes()
    done = _build(plugged, tmp_path, str(context))
    assert f"{plugged.app}:${{TAG}}@{plugged.digest}" in done.out
    files = _built(plugged, done, tmp_path)
    assert files["run"] == files["copied"] == exits(SIGNED)
    assert files["context/kept"] == b"kept"
    assert files["context/Dockerfile"] == before == (context / "Dockerfile").read_bytes()
    assert "context/secret" not in files


def test_build_arguments_that_choose_an_image_are_honoured(plugged: Plugged, context: Path, tmp_path: Path) -> None:
    refused = _build(plugged, tmp_path, "--build-arg", "TAG=dev", str(context))
    assert refused.status == 3
    assert f"Dockerfile:2 (FROM): {plugged.app}:dev is not signed. [unsigned]" in refused.err
    refused = _build(plugged, tmp_path, "--build-arg", "TAG", str(context), TAG="dev")
    assert refused.status == 3
    (context / "other").write_text("ARG BASE\nFROM $BASE\n")
    done = _build(plugged, tmp_path, f"-qf{context}/other", f"--build-arg=BASE={plugged.app}:v1", str(context))
    assert _built(plugged, done, tmp_path) == {**_built_base(plugged, tmp_path)}


def _built_base(plugged: Plugged, folder: Path) -> dict[str, bytes]:
    dockerfile = f"FROM {plugged.app}@{plugged.digest}\n".encode()
    done = plugged("build", "-q", "-t", "built:here", "-", feed=dockerfile, DOCKER_BUILDKIT="0")
    return _built(plugged, done, folder)


def test_a_dockerfile_at_standard_input(plugged: Plugged, context: Path, tmp_path: Path) -> None:
    dockerfile = f"FROM {plugged.app}:v1\nCOPY kept /kept\n".encode()
    files = _built(plugged, _build(plugged, tmp_path, "-f", "-", str(context), feed=dockerfile), tmp_path)
    assert (files["run"], files["kept"]) == (exits(SIGNED), b"kept")
    alone = f"FROM {plugged.app}:v1\nLABEL a=b\n".encode()
    assert _built(plugged, _build(plugged, tmp_path, "-", feed=alone), tmp_path)["run"] == exits(SIGNED)
    refused = _build(plugged, tmp_path, "-", feed=f"FROM {plugged.app}:dev\n".encode())
    assert (refused.status, "[unsigned]" in refused.err) == (3, True)
    refused = _build(plugged, tmp_path, "-", feed=archive(exits(UNSIGNED)))
    assert (refused.status, "no Dockerfile" in refused.err) == (2, True)


def test_what_build_refuses(plugged: Plugged, context: Path, tmp_path: Path) -> None:
    refused = _build(plugged, tmp_path, "--cache-from", f"{plugged.app}:dev", str(context))
    assert (refused.status, "[unsigned]" in refused.err) == (3, True), refused.err
    (context / "Dockerfile").write_text(f"FROM {plugged.app}:v1@{plugged.moved}\nLABEL a=b\n")
    refused = _build(plugged, tmp_path, str(context))
    assert (refused.status, "[tag-moved]" in refused.err) == (3, True), refused.err
    (context / "Dockerfile").write_text("FROM\n")
    assert _build(plugged, tmp_path, str(context)).status == 1


@pytest.mark.parametrize(
    ("value", "words", "status", "said"),
    [
        ("1", "pull -q APP:dev", 3, "[unsigned]"),
        ("yes", "image pull -q APP:dev", 3, "[unsigned]"),
        ("1", "--log-level error container run --rm --net none APP:dev", 125, "[unsigned]"),
        ("1", "run --rm --net none APP:v1", SIGNED, ""),
        ("1", "image ls -q", 0, ""),
        ("1", "image --help", 0, "docker image"),
        ("1", "service create APP:dev", 3, "[unsigned]"),
        ("1", "stack deploy x", 2, "DOCKER_CONTENT_TRUST=0"),
        ("1", "model run APP:dev", 2, "DOCKER_CONTENT_TRUST=0"),
        ("1", "sandbox create x", 2, "DOCKER_CONTENT_TRUST=0"),
        ("1", "--log-level error debug APP:dev", 2, "DOCKER_CONTENT_TRUST=0"),
        ("1", "stranger APP:dev", 2, "DOCKER_CONTENT_TRUST=0"),
        ("0", "stranger APP:dev", 0, "the stranger runs"),
        ("0", "pull -q APP:dev", 0, ""),
        ("", "pull -q APP:dev", 0, ""),
    ],
)
def test_a_shell_function_obeys_the_variable(
    plugged: Plugged, value: str, words: str, status: int, said: str
) -> None:
    stranger = Path(plugged.who.environment()["DOCKER_CONFIG"]) / "cli-plugins" / "docker-stranger"
    stranger.write_text(
        f"#!/bin/sh\n[ $1 = docker-cli-plugin-metadata ] && echo '{METADATA}' || echo the stranger runs\n"
    )
    stranger.chmod(0o700)
    function = plugged.who("install", "docker-plugin", "--alias").out
    bash = Docker(Tool(Path("/bin/bash"), plugged.docker.tool.environ))
    path = os.pathsep.join([str(plugged.docker.tool.program.parent), os.environ["PATH"]])
    environ = {**plugged.who.environment(), "DOCKER_CONTENT_TRUST": value, "PATH": path}
    done = bash(environ, "-c", f"{function}\ndocker {words.replace('APP', plugged.app)}")
    assert done.status == status, done.err
    assert said in done.out + done.err


def test_installed_for_others_with_a_policy_it_counts_before_their_own(plugged: Plugged, tmp_path: Path) -> None:
    strict = _policy(tmp_path, plugged, 'mode = "digest-only"')["TRUSTKIT_POLICY"]
    folder = tmp_path / "plugins with a space"
    assert plugged.who("install", "docker-plugin", "--dir", str(folder), "--policy", strict).status == 0
    plugin = Tool(folder / "docker-trustkit", plugged.docker.tool.environ)
    lax = {**plugged.who.environment(), "TRUSTKIT_POLICY": ""}
    refused = plugin(lax, "trustkit", "pull", f"{plugged.app}:v1")
    assert (refused.status, "[policy-denies]" in refused.err) == (3, True), refused.err
