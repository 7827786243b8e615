"""podman and skopeo, which have no hook: through the gate with stock configuration, and by ``pull --to podman``."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.parts import Docker, Skopeo, Stand, archive
from tests.real.podmans import Podman, podman_in_short_folder
from tests.service import Result
from trustkit.cli.demo_images import write_image

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def podman(need: Callable[[str, str], Path]) -> Iterator[Podman]:
    with podman_in_short_folder(need("podman", "podman")) as made:
        yield made


@dataclass(frozen=True)
class Signed:
    """``v1`` is signed, and the registry's tag has moved afterwards; ``dev`` is unsigned; all is trust-only."""

    name: str
    digest: str
    moved: str


@pytest.fixture(scope="module")
def signed(upstream: Stand) -> Signed:
    name = f"{upstream.host}/podman/app"
    upstream.trust_only("podman/*")
    digest = upstream.alice.push(f"{name}:v1", "signed")
    assert upstream.alice("sign", f"{name}:v1").status == 0
    moved = upstream.bob.push(f"{name}:v1", "moved afterwards")
    upstream.bob.push(f"{name}:dev", "never signed")
    upstream.pinned(upstream.carol, name)
    return Signed(name, digest, moved)


def test_a_signed_tag_comes_and_an_unsigned_one_is_refused_with_the_reason(
    upstream: Stand, podman: Podman, signed: Signed
) -> None:
    carol = upstream.carol
    pulled = podman.pull(carol, f"{signed.name}:v1")
    assert pulled.status == 0, pulled.err
    assert podman.digest(carol, f"{signed.name}:v1") == signed.digest

    refused = podman.pull(carol, f"{signed.name}:dev")
    assert refused.status != 0
    assert "podman/app:dev is not signed." in refused.err
    refused = podman.pull(carol, f"{signed.name}@{signed.moved}")
    assert refused.status != 0
    assert "is not signed, and no signed index lists it." in refused.err


def pull(stand: Stand, podman: Podman, *arguments: str, **environ: str) -> Result:
    return stand.carol("pull", "--to", "podman", *arguments, environ={**podman.environ, **environ})


def test_pull_to_podman_stores_the_signed_digest_and_tags_it(upstream: Stand, podman: Podman, signed: Signed) -> None:
    """An image that has the name already is no answer: what was there before keeps none of it."""
    carol, name = upstream.carol, f"{signed.name}:v1"
    podman(carol, "image", "rm", "--force", name)
    evil = upstream.bob.push(f"{upstream.host}/other/app:v1", "evil")
    assert podman.pull(carol, f"{upstream.host}/other/app:v1").status == 0
    assert podman(carol, "tag", f"{upstream.host}/other/app:v1", name).status == 0
    assert podman.digest(carol, name) == evil

    done = pull(upstream, podman, name)
    assert (done.status, done.out.strip()) == (0, f"{name}@{signed.digest}"), done.err
    assert podman.digest(carol, name) == signed.digest
    assert podman.digest(carol, f"{signed.name}@{signed.digest}") == signed.digest


def test_pull_to_podman_refuses_what_is_not_signed(upstream: Stand, podman: Podman, signed: Signed) -> None:
    done = pull(upstream, podman, f"{signed.name}:dev", f"{signed.name}@{signed.moved}")
    assert (done.status, done.out) == (3, "")
    assert f"{signed.name}:dev is not signed. [unsigned]" in done.err


def test_an_index_is_one_image_of_podman_s_under_its_own_digest(
    upstream: Stand, podman: Podman, docker: Docker
) -> None:
    """What is signed is the index; podman stores this machine's image of it, and knows both digests."""
    name, alice = f"{upstream.host}/index/app", upstream.alice
    docker.push(alice, f"{name}:one", "one")
    auth = str(alice.home / "docker" / "config.json")
    for words in (
        ("manifest", "create", "multi"),
        ("manifest", "add", "--tls-verify=false", "--authfile", auth, "multi", f"docker://{name}:one"),
        ("manifest", "push", "--all", "--tls-verify=false", "--authfile", auth, "multi", f"docker://{name}:v1"),
    ):
        done = podman(alice, *words)
        assert done.status == 0, done.err
    assert alice("sign", f"{name}:v1").status == 0
    upstream.pinned(upstream.carol, name)
    done = pull(upstream, podman, f"{name}:v1")
    assert done.status == 0, done.err
    found = json.loads(podman(upstream.carol, "image", "inspect", f"{name}:v1").out)[0]
    assert f"{name}@{done.out.strip().rpartition('@')[2]}" in found["RepoDigests"]


def test_a_registries_conf_that_sends_the_name_elsewhere_brings_nothing_else(
    upstream: Stand, podman: Podman, signed: Signed, tmp_path: Path
) -> None:
    conf = tmp_path / "registries.conf"
    conf.write_text(f'[[registry]]\nprefix = "{signed.name}"\nlocation = "{upstream.host}/other/app"\n')
    upstream.bob.push(f"{upstream.host}/other/app:v1", "evil")
    done = pull(upstream, podman, f"{signed.name}:v1", CONTAINERS_REGISTRIES_CONF=str(conf))
    assert (done.status, "[engine-failed]" in done.err) == (1, True), done.err


def test_a_bundle_goes_into_podman_as_well(upstream: Stand, podman: Podman, signed: Signed, tmp_path: Path) -> None:
    carol, name, file = upstream.carol, f"{signed.name}:v1", str(tmp_path / "app.tkb")
    assert carol("bundle", "create", name, "-o", file, "--images").status == 0
    podman(carol, "image", "rm", "--force", name, f"{signed.name}@{signed.digest}")
    scratch = podman.folder / "No_-Name"
    scratch.mkdir()
    done = pull(upstream, podman, "--bundle", file, "--max-age", "1h", name, TMPDIR=str(scratch))
    assert done.status == 0, done.err
    assert podman.digest(carol, name) == signed.digest
    assert podman.names(carol, name) == [name]
    assert list(scratch.iterdir()) == []


def test_an_index_in_a_bundle_keeps_its_digest_and_gets_no_second_name(
    upstream: Stand, podman: Podman, tmp_path: Path
) -> None:
    carol, name, file = upstream.carol, f"{upstream.host}/index/bundled:v1", str(tmp_path / "app.tkb")
    digest = upstream.alice.push(name, "two platforms", architectures=("amd64", "arm64"))
    assert upstream.alice("sign", name).status == 0
    upstream.pinned(carol, f"{upstream.host}/index/bundled")
    assert carol("bundle", "create", name, "-o", file, "--images").status == 0
    done = pull(upstream, podman, "--bundle", file, "--max-age", "1h", name)
    assert done.status == 0, done.err
    assert podman.digest(carol, name) == digest
    assert podman.names(carol, name) == [name]


def test_an_image_of_the_same_id_with_other_layers_is_not_taken_for_the_signed_one(
    upstream: Stand, podman: Podman, skopeo_tool: Skopeo, tmp_path: Path
) -> None:
    """podman's id is the configuration's digest, and it takes layers that the configuration doesn't list."""
    carol, repository = upstream.carol, f"{upstream.host}/same-id/app"
    name, layout = f"{repository}:v1", tmp_path / "layout"
    write_image(layout, "t", "signed, of an id that something else has")
    assert skopeo_tool.push(upstream.alice, layout, name).status == 0
    assert upstream.alice("sign", name).status == 0
    upstream.pinned(carol, repository)
    other_layers(layout, gzip.compress(archive("evil")))
    assert skopeo_tool.push(upstream.bob, layout, f"{repository}:evil").status == 0
    evil = podman.pull(carol, f"{repository}:evil")
    assert evil.status == 0, evil.err

    file = str(tmp_path / "app.tkb")
    assert carol("bundle", "create", name, "-o", file, "--images").status == 0
    for arguments in ((name,), ("--bundle", file, "--max-age", "1h", name)):
        done = pull(upstream, podman, *arguments)
        assert (done.status, done.out, done.slug) == (1, "", "engine-failed"), done.err
        assert podman(carol, "image", "exists", name).status == 1
    assert podman(carol, "image", "rm", "--force", evil.out.strip()).status == 0
    assert pull(upstream, podman, name).status == 0


def other_layers(layout: Path, layer: bytes) -> None:
    """Has the one image of a layout keep its configuration, and have this one layer."""

    def put(data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (layout / "blobs" / "sha256" / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    index = json.loads((layout / "index.json").read_text())
    (top,) = index["manifests"]
    manifest = json.loads((layout / "blobs" / "sha256" / top["digest"][7:]).read_text())
    manifest["layers"] = [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **put(layer)}]
    top.update(put(json.dumps(manifest).encode()))
    (layout / "index.json").write_text(json.dumps(index))


GATE = """\
[[registry]]
prefix = "registry.example.com/podman"
location = "{gate}/podman"
insecure = true
"""
MIRROR = """\
[[registry]]
prefix = "registry.example.com/podman"
location = "{behind}/podman"
insecure = true

[[registry.mirror]]
location = "{gate}/podman"
insecure = true
"""


def test_registries_conf_sends_a_name_to_the_gate(
    upstream: Stand, podman: Podman, skopeo_tool: Skopeo, signed: Signed, tmp_path: Path
) -> None:
    """As a location: all that podman and skopeo get under the name is what the gate gives."""
    carol, folder = upstream.carol, tmp_path / ".config" / "containers"
    folder.mkdir(parents=True)
    (folder / "registries.conf").write_text(GATE.format(gate=upstream.host))
    named = {"HOME": str(tmp_path)}
    done = podman.pull(carol, "registry.example.com/podman/app:v1", **named)
    assert done.status == 0, done.err
    assert podman.digest(carol, "registry.example.com/podman/app:v1") == signed.digest
    refused = podman.pull(carol, "registry.example.com/podman/app:dev", **named)
    assert (refused.status != 0, "is not signed." in refused.err) == (True, True), refused.err
    auth = f"--authfile={carol.home / 'docker' / 'config.json'}"
    environ = {**carol.environment(), **named}
    copied = skopeo_tool(environ, "inspect", "--no-tags", auth, "docker://registry.example.com/podman/app:v1")
    assert copied.status == 0, copied.err
    assert json.loads(copied.out)["Digest"] == signed.digest
    refused = skopeo_tool(environ, "inspect", "--no-tags", auth, "docker://registry.example.com/podman/app:dev")
    assert (refused.status != 0, "is not signed." in refused.err) == (True, True), refused.err


def test_a_mirror_that_refuses_is_passed_by_so_the_gate_must_not_be_one(
    upstream: Stand, podman: Podman, signed: Signed, tmp_path: Path
) -> None:
    """What docs/how-to/podman-skopeo-crio.md warns of."""
    conf = tmp_path / "registries.conf"
    conf.write_text(MIRROR.format(gate=upstream.host, behind=upstream.behind))
    done = podman.pull(upstream.carol, "registry.example.com/podman/app:dev", CONTAINERS_REGISTRIES_CONF=str(conf))
    assert done.status == 0, done.err


def test_policy_json_goes_by_the_name_that_was_asked_for(
    upstream: Stand, podman: Podman, signed: Signed, tmp_path: Path
) -> None:
    """So that nothing comes but by names that registries.conf sends to the gate."""
    carol, conf, policy = upstream.carol, tmp_path / "registries.conf", tmp_path / "policy.json"
    conf.write_text(GATE.format(gate=upstream.host))
    taken = {"docker": {"registry.example.com/podman": [{"type": "insecureAcceptAnything"}]}}
    policy.write_text(json.dumps({"default": [{"type": "reject"}], "transports": taken}))
    auth = f"--authfile={carol.home / 'docker' / 'config.json'}"
    words = ("pull", "--quiet", "--tls-verify=false", auth, f"--signature-policy={policy}")
    named = {"CONTAINERS_REGISTRIES_CONF": str(conf)}
    done = podman(carol, *words, "registry.example.com/podman/app:v1", **named)
    assert done.status == 0, done.err
    refused = podman(carol, *words, f"{signed.name}:v1", **named)
    assert (refused.status != 0, "rejected by policy" in refused.err) == (True, True), refused.err


@dataclass(frozen=True)
class Builds:
    """``podman build`` with every name under ``registry.example.com/podman`` sent to the gate, and none besides."""

    stand: Stand
    podman: Podman
    folder: Path
    name: str = "registry.example.com/podman/app"

    def __call__(self, dockerfile: str, *options: str) -> Result:
        context = self.folder / "context"
        context.mkdir(exist_ok=True)
        (context / "Dockerfile").write_text(dockerfile.replace("NAME", self.name))
        return self.run("build", "--quiet", "--isolation=chroot", self.auth, *options, str(context))

    def run(self, *words: str, **environ: str) -> Result:
        return self.podman(self.stand.carol, *words, **{"HOME": str(self.folder), **environ})

    @property
    def auth(self) -> str:
        return f"--authfile={self.stand.carol.home / 'docker' / 'config.json'}"

    def layers(self, image: str) -> list[str]:
        done = self.run("image", "inspect", "--format", "{{json .RootFS.Layers}}", image)
        assert done.status == 0, done.err
        return list(json.loads(done.out))

    def left_by_somebody(self, tag: str) -> list[str]:
        """An unsigned image under the gate's name on this machine, as an older pull, a load or a build leaves it."""
        behind = f"{self.stand.behind}/podman/app:dev"
        anywhere = self.folder / "anywhere.json"
        anywhere.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        options = ("--quiet", "--tls-verify=false", f"--signature-policy={anywhere}")
        assert self.run("pull", *options, behind, CONTAINERS_REGISTRIES_CONF="/dev/null").status == 0
        assert self.run("tag", behind, f"{self.name}:{tag}").status == 0
        return self.layers(behind)


@pytest.fixture
def builds(upstream: Stand, podman: Podman, signed: Signed, tmp_path: Path) -> Builds:
    folder = tmp_path / ".config" / "containers"
    folder.mkdir(parents=True)
    (folder / "registries.conf").write_text(GATE.format(gate=upstream.host))
    taken = {"docker": {"registry.example.com/podman": [{"type": "insecureAcceptAnything"}]}}
    (folder / "policy.json").write_text(json.dumps({"default": [{"type": "reject"}], "transports": taken}))
    made = Builds(upstream, podman, tmp_path)
    made.run("image", "rm", "--all", "--force")
    return made


def test_a_build_is_on_what_the_gate_gives(builds: Builds, signed: Signed) -> None:
    built = builds("FROM NAME:v1\nLABEL a=b\n")
    assert built.status == 0, built.err
    base = builds.layers(f"{builds.name}:v1")
    assert builds.layers(built.out.strip())[: len(base)] == base
    for refused in (
        builds("FROM NAME:dev\nLABEL a=b\n"),
        builds(f"FROM NAME@{signed.moved}\nLABEL a=b\n"),
        builds(f"FROM NAME:v1@{signed.moved}\nLABEL a=b\n"),
    ):
        assert (refused.status, "is not signed" in refused.err) == (125, True), refused.err
    for dockerfile in ("FROM scratch\nCOPY --from=NAME:dev / /\n", f"FROM {signed.name}:v1\nLABEL a=b\n"):
        assert builds(dockerfile).status == 125


def test_a_build_takes_what_has_the_name_here_unless_it_asks_or_names_the_digest(
    builds: Builds, signed: Signed
) -> None:
    """What docs/how-to/podman-skopeo-crio.md warns of."""
    assert builds("FROM NAME:v1\nLABEL a=b\n").status == 0
    base = builds.layers(f"{builds.name}@{signed.digest}")
    evil = builds.left_by_somebody("v1")
    assert evil != base
    unasked = builds("FROM NAME:v1\nLABEL a=1\n").out.strip()
    assert builds.layers(unasked)[: len(evil)] == evil
    pinned = builds(f"FROM NAME:v1@{signed.digest}\nLABEL a=2\n").out.strip()
    assert builds.layers(pinned)[: len(base)] == base
    asked = builds("FROM NAME:v1\nLABEL a=3\n", "--pull=always").out.strip()
    assert builds.layers(asked)[: len(base)] == base
    builds.left_by_somebody("dev")
    for dockerfile in ("FROM NAME:dev\nLABEL a=b\n", "FROM scratch\nCOPY --from=NAME:dev / /\n"):
        assert builds(dockerfile).status == 0
        assert builds(dockerfile, "--pull=always").status == 125
