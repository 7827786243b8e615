"""Docker's familiar names: read as Docker reads them, and what it or we refuse is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustkit.core.familiar import familiar
from trustkit.core.names import ImageRef
from trustkit.errors import InvalidReference

HEX = "a" * 64
DIGEST = f"sha256:{HEX}"

READ: list[tuple[str, str, str]] = [
    ("one part", "alpine", "docker.io/library/alpine:latest"),
    ("tag", "alpine:3.20", "docker.io/library/alpine:3.20"),
    ("digest, no tag", f"alpine@{DIGEST}", f"docker.io/library/alpine@{DIGEST}"),
    ("tag and digest", f"alpine:3@{DIGEST}", f"docker.io/library/alpine:3@{DIGEST}"),
    ("two parts", "grafana/grafana", "docker.io/grafana/grafana:latest"),
    ("three parts", "a/b/c:v1", "docker.io/a/b/c:v1"),
    ("docker.io written", "docker.io/alpine", "docker.io/library/alpine:latest"),
    ("docker.io, two parts", "docker.io/grafana/grafana:1", "docker.io/grafana/grafana:1"),
    ("docker.io/library written", "docker.io/library/alpine:3", "docker.io/library/alpine:3"),
    ("library written", "library/alpine", "docker.io/library/alpine:latest"),
    ("the legacy host", "index.docker.io/alpine", "docker.io/library/alpine:latest"),
    ("the legacy host, two parts", "index.docker.io/a/b:1", "docker.io/a/b:1"),
    ("the host of the API stays", "registry-1.docker.io/a", "registry-1.docker.io/a:latest"),
    ("host by its dot", "r.io/app", "r.io/app:latest"),
    ("host by its port", "registry:5000/app:v1", "registry:5000/app:v1"),
    ("localhost", "localhost/app", "localhost/app:latest"),
    ("localhost with a port", "localhost:5000/app", "localhost:5000/app:latest"),
    ("IPv6", "[::1]:5000/app", "[::1]:5000/app:latest"),
    ("a host without a name is a name with a tag", "localhost:5000", "docker.io/library/localhost:5000"),
    ("localhost alone is a name", "localhost", "docker.io/library/localhost:latest"),
    ("a name with a dot is no host", "busy.box", "docker.io/library/busy.box:latest"),
    ("tag in upper case", "alpine:V1", "docker.io/library/alpine:V1"),
    ("64 hex digits with a tag", f"{HEX}:v1", f"docker.io/library/{HEX}:v1"),
    ("63 hex digits", HEX[1:], f"docker.io/library/{HEX[1:]}:latest"),
    ("no other host is given library/", "localhost/alpine:1", "localhost/alpine:1"),
]

REFUSED: list[tuple[str, str]] = [
    ("empty", ""),
    ("a space", " "),
    ("a space before", " alpine"),
    ("a newline after", "alpine\n"),
    ("a control byte", "al\x00pine"),
    ("an image's id", HEX),
    ("upper case", "Alpine"),
    ("upper case in the second part", "a/B"),
    ("an upper-case host", "Registry/app"),
    ("an upper-case host with a dot", "Registry.example.com/app"),
    ("nothing after the host", "r.io/"),
    ("nothing before the name", "/app"),
    ("no tag after the colon", "alpine:"),
    ("no digest after the at", "alpine@"),
    ("a short digest", "alpine@sha256:abc"),
    ("another algorithm", f"alpine@sha512:{'a' * 128}"),
    ("an upper-case digest", f"alpine@sha256:{HEX.upper()}"),
    ("two digests", f"alpine@{DIGEST}@{DIGEST}"),
    ("parent folder", "../alpine"),
    ("parent folder inside", "r.io/a/../b"),
    ("an empty part", "a//b"),
    ("a scheme", "https://r.io/app"),
    ("an escape", "r.io/a%2fb"),
    ("a variable left over", "alpine:${V}"),
    ("a slash in the tag", "alpine:a/b"),
    ("a port above 65535", "r.io:70000/app"),
    ("a user", "u@r.io/app"),
    ("a letter that only looks like one", "аlpine"),  # noqa: RUF001 - the Cyrillic letter is the case
    ("a name of 256 characters", "a" * 256),
    ("a name of 255 characters that library/ makes too long", "a" * 255),
]


@pytest.mark.parametrize(("text", "full"), [row[1:] for row in READ], ids=[row[0] for row in READ])
def test_read_as_docker_reads_it(text: str, full: str) -> None:
    found = familiar(text)
    assert str(found) == full
    assert familiar(full) == found, "the full name names the same"
    assert ImageRef.parse(full) == found


@pytest.mark.parametrize("text", [row[1] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused_with_a_next_step(text: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        familiar(text)
    assert caught.value.hint
    assert caught.value.message.isprintable()


@given(st.text(alphabet="abAZ01.:/@-_[] \nlocahstdkeri\u0430", max_size=80))
def test_whatever_is_read_has_a_full_name_that_reads_as_itself(text: str) -> None:
    try:
        found = familiar(text)
    except InvalidReference:
        return
    assert found.tag or found.digest
    assert familiar(str(found)) == found
