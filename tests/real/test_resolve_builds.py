"""What ``trustkit resolve --write`` made is built by a real docker, from the signed images, wherever tags moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.parts import Docker, Stand

pytestmark = pytest.mark.real

DOCKERFILE = """\
ARG VERSION=1.0
ARG TOOLS=HOST/build/tools:2
FROM HOST/build/base:${VERSION} AS Deps
FROM ${TOOLS} AS tools

FROM deps AS build
COPY --from=tools /hello /from-tools
COPY --from=HOST/build/extra:1 \\
  # a comment between
  /hello /from-extra

FROM scratch
COPY --from=0 /hello /from-base
COPY --from=BUILD /from-tools /from-extra /
"""


def _pushed(docker: Docker, stand: Stand, name: str, text: str) -> str:
    return docker.push(stand.bob, f"{stand.host}/build/{name}", text)


def test_docker_builds_what_was_written(upstream: Stand, docker: Docker, tmp_path: Path) -> None:
    names = ("base:1.0", "tools:2", "extra:1")
    signed = {}
    for name in names:
        signed[name] = _pushed(docker, upstream, name, f"{name}, signed")
        assert upstream.alice("sign", f"{upstream.host}/build/{name}").status == 0
        upstream.pinned(upstream.carol, f"{upstream.host}/build/{name.partition(':')[0]}")
    file = tmp_path / "Dockerfile"
    file.write_text(DOCKERFILE.replace("HOST", upstream.host))
    assert upstream.carol("resolve", "--check", str(file)).status == 3
    written = upstream.carol("resolve", "--write", str(file))
    assert written.status == 0, written.err
    assert upstream.carol("resolve", "--check", str(file)).status == 0

    for name in names:
        _pushed(docker, upstream, name, f"{name}, moved by somebody who may push")
        gun = f"{upstream.host}/build/{name.partition(':')[0]}"
        docker.forget(f"{upstream.host}/build/{name}", f"{gun}@{signed[name]}")
    builder = {**upstream.carol.environment(), "DOCKER_BUILDKIT": "0"}
    built = docker(builder, "build", "--network", "none", "--pull", "-t", "built:here", str(tmp_path))
    assert built.status == 0, built.out + built.err
    made = docker(builder, "create", "built:here", "x")
    assert made.status == 0, made.err
    container = made.out.strip()
    for where, name in (("base", "base:1.0"), ("tools", "tools:2"), ("extra", "extra:1")):
        target = tmp_path / where
        copied = docker(builder, "cp", f"{container}:/from-{where}", str(target))
        assert copied.status == 0, copied.err
        assert target.read_text().strip() == f"{name}, signed"
    docker(builder, "rm", container)
    docker.forget("built:here")


def test_docker_refuses_a_digest_of_another_repository(upstream: Stand, docker: Docker, tmp_path: Path) -> None:
    """Whoever overrides an ARG in front of a digest that was written behind it gets nothing else."""
    _pushed(docker, upstream, "one:1", "one")
    assert upstream.alice("sign", f"{upstream.host}/build/one:1").status == 0
    upstream.pinned(upstream.carol, f"{upstream.host}/build/one")
    _pushed(docker, upstream, "two:1", "two")
    file = tmp_path / "Dockerfile"
    file.write_text(f"ARG NAME=one\nFROM {upstream.host}/build/${{NAME}}:1\nCOPY Dockerfile /\n")
    assert upstream.carol("resolve", "--write", str(file)).status == 0
    builder = {**upstream.carol.environment(), "DOCKER_BUILDKIT": "0"}
    assert docker(builder, "build", "-t", "one:here", str(tmp_path)).status == 0
    other = docker(builder, "build", "--build-arg", "NAME=two", "-t", "two:here", str(tmp_path))
    assert other.status != 0, other.out
