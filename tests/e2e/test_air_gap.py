"""Bundles and mirrors on a real service: made with a network, verified without, read by others."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tuf.ngclient import Updater

from tests.service import Person, Result, RunningService
from trustkit.core.manifests import OCI_INDEX
from trustkit.core.names import Digest

Cut = Callable[..., Result]


@pytest.fixture
def cut(need: Callable[[str, str], Path]) -> Cut:
    """Runs ``trustkit`` as somebody in a network namespace that has nothing, not even loopback."""
    unshare = need("unshare", "util-linux")
    if subprocess.run([unshare, "-n", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not make a network namespace (unshare -n)")

    def run(who: Person, *arguments: str) -> Result:
        command = [str(unshare), "-n", sys.executable, "-m", "trustkit", *arguments]
        environ = {**os.environ, **who.environment()}
        done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture(scope="module")
def app(service: RunningService, alice: Person, carol: Person) -> str:
    """A repository with an image and an index of two platforms, both signed, and carol's pin."""
    gun = f"{service.host}/air/app"
    alice.push(f"{gun}:v1")
    alice.push(f"{gun}:multi", architectures=("amd64", "arm64"))
    assert alice("sign", f"{gun}:v1", f"{gun}:multi").status == 0
    assert carol("pin", "add", f"{service.host}/air/*", "--root-key", alice.root_key()).status == 0
    return gun


@pytest.fixture
def dora(tmp_path: Path, service: RunningService, alice: Person, app: str) -> Person:
    """A machine with a pin, and no login."""
    made = Person("dora", tmp_path / "dora")
    assert made("pin", "add", f"{service.host}/air/*", "--root-key", alice.root_key()).status == 0
    return made


def create(who: Person, file: Path, *words: str) -> Path:
    made = who("bundle", "create", *words, "-o", str(file))
    assert made.status == 0, made.err
    return file


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.real
def test_a_bundle_is_verified_and_pulled_with_the_network_cut(
    app: str, carol: Person, dora: Person, cut: Cut, tmp_path: Path
) -> None:
    file = create(carol, tmp_path / "app.tkb", f"{app}:v1", f"{app}:multi", "--images")
    offline = ("--bundle", str(file), "--max-age", "1d")
    signed = carol("verify", f"{app}:v1", f"{app}:multi")
    assert cut(dora, "verify", f"{app}:v1").status == 4
    assert cut(dora, "verify", *offline, f"{app}:v1", f"{app}:multi").out == signed.out
    layout = tmp_path / "layout"
    pulled = cut(dora, "pull", *offline, f"{app}:multi", "--to", f"oci:{layout}")
    assert (pulled.status, pulled.out) == (0, signed.out.splitlines(keepends=True)[1]), pulled.err
    index = json.loads((layout / "index.json").read_bytes())
    assert [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in index["manifests"]] == ["multi"]
    assert len(list((layout / "blobs" / "sha256").iterdir())) == 7


def test_the_same_state_makes_the_same_bundle_and_nothing_is_left_beside_it(
    app: str, carol: Person, tmp_path: Path
) -> None:
    one = create(carol, tmp_path / "one.tkb", f"{app}:v1", f"{app}:multi")
    two = create(carol, tmp_path / "two.tkb", f"{app}:multi", f"{app}:v1", f"{app}:v1")
    assert one.read_bytes() == two.read_bytes()
    assert names(tmp_path) == ["one.tkb", "two.tkb"]
    with tarfile.open(one) as tar:
        assert {member.mtime for member in tar} == {0}


def test_what_is_not_signed_makes_no_bundle_and_leaves_the_old_one(app: str, carol: Person, tmp_path: Path) -> None:
    file = tmp_path / "app.tkb"
    file.write_bytes(b"old")
    refused = carol("bundle", "create", f"{app}:v1", f"{app}:none", "-o", str(file))
    assert (refused.status, refused.slug, refused.out) == (3, "unsigned", "")
    assert file.read_bytes() == b"old"
    assert names(tmp_path) == ["app.tkb"]
    nowhere = carol("bundle", "create", f"{app}:v1", "-o", str(tmp_path / "no" / "app.tkb"))
    assert (nowhere.status, nowhere.slug) == (1, "state")


def test_a_bundle_without_layers_says_so_when_it_is_pulled_from(
    app: str, carol: Person, dora: Person, tmp_path: Path
) -> None:
    file = create(carol, tmp_path / "app.tkb", f"{app}:v1")
    pulled = dora("pull", "--bundle", str(file), "--max-age", "1d", f"{app}:v1", "--to", f"oci:{tmp_path / 'layout'}")
    assert (pulled.status, pulled.slug, pulled.out) == (4, "bad-bundle", "")
    assert "--images" in pulled.err


@pytest.mark.parametrize(
    ("rule", "slug"),
    [
        ('signers = ["ci"]', "signers-missing"),
        ('mode = "unsafe_allow_unsigned"', "policy-denies"),
        ('mode = "digest-only"', "policy-denies"),
        ('signers = ["ci"]\ndetect = true', "signers-missing"),
        ('root_keys = ["ROOT"]', ""),
    ],
)
def test_the_policy_of_the_machine_counts_for_a_bundle(
    app: str, alice: Person, carol: Person, tmp_path: Path, rule: str, slug: str
) -> None:
    """What it takes unasked is not verified by a bundle, and its pins are as good as the home's."""
    file, policy = create(carol, tmp_path / "app.tkb", f"{app}:v1"), tmp_path / "policy.toml"
    policy.write_text(f'version = 1\n[[rule]]\npattern = "*"\n{rule.replace("ROOT", alice.root_key())}\n')
    dora = Person("dora", tmp_path / "dora")
    if "root_keys" not in rule:
        assert dora("pin", "add", app, "--root-key", alice.root_key()).status == 0
    told = dora("verify", "--bundle", str(file), "--max-age", "1d", "--policy", str(policy), f"{app}:v1")
    assert (told.status, told.slug, bool(told.out)) == ((3, slug, False) if slug else (0, "", True)), told.err


def test_after_a_rotation_a_pin_of_the_first_root_still_leads_on(
    service: RunningService, alice: Person, carol: Person, tmp_path: Path
) -> None:
    """Who carries a bundle may have pinned a later root than who verifies it."""
    gun, erin = f"{service.host}/air/rotated", Person("erin", tmp_path / "erin")
    alice.push(f"{gun}:v1")
    assert alice("sign", f"{gun}:v1").status == 0
    assert erin("pin", "add", gun, "--root-key", alice.root_key()).status == 0
    assert alice("key", "rotate", gun, "--role", "repository").status == 0
    file = create(carol, tmp_path / "app.tkb", f"{gun}:v1")
    with tarfile.open(file) as tar:
        index = json.loads(tar.extractfile("index.json").read())  # type: ignore[union-attr]
        digest = index["manifests"][0]["digest"].removeprefix("sha256:")
        layers = json.loads(tar.extractfile(f"blobs/sha256/{digest}").read())["layers"]  # type: ignore[union-attr]
    named = [layer["annotations"]["tuf.io/filename"] for layer in layers]
    assert {"1.root.json", "2.root.json", "timestamp.json"} < set(named)
    assert erin("verify", "--bundle", str(file), "--max-age", "1d", f"{gun}:v1").status == 0


# --- mirrors


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the origin of a plain web server over it."""
    folder = tmp_path / "mirror"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None: ...

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_stock_client_reads_a_static_mirror(app: str, carol: Person, web: tuple[Path, str], tmp_path: Path) -> None:
    folder, origin = web
    done = carol("mirror", app, f"dir:{folder}")
    assert done.status == 0, done.err
    assert done.out == carol("verify", f"{app}:multi", f"{app}:v1").out
    root = (folder / "v2" / app / "_trust" / "metadata" / "1.root.json").read_bytes()
    home = tmp_path / "stock"
    home.mkdir()
    updater = Updater(
        str(home),
        f"{origin}/v2/{app}/_trust/metadata/",
        target_dir=str(home),
        target_base_url=f"{origin}/v2/{app}/_trust/targets/",
        bootstrap=root,
    )
    info = updater.get_targetinfo("multi")
    assert info is not None
    assert f"{app}:multi@sha256:{info.hashes['sha256']}" in done.out
    assert "manifests" in json.loads(Path(updater.download_target(info)).read_bytes())
    layout = folder / "images" / "air" / "app" / "_oci"
    assert (layout / "blobs" / "sha256" / info.hashes["sha256"]).is_file()
    assert {file.stat().st_mode & 0o444 for file in folder.rglob("*") if file.is_file()} == {0o444}


def test_what_is_there_is_not_copied_again_and_what_is_damaged_is(app: str, carol: Person, tmp_path: Path) -> None:
    to = tmp_path / "mirror"
    assert carol("mirror", app, f"dir:{to}").status == 0
    before = {file: (file.stat().st_ino, file.read_bytes()) for file in to.rglob("*") if file.is_file()}
    again = carol("mirror", app, str(to))
    assert again.status == 0
    assert "0 metadata file(s) and 0 blob(s) were new" in again.err
    kept = {file: (file.stat().st_ino, file.read_bytes()) for file in before if file.name not in _LISTS}
    assert kept == {file: value for file, value in before.items() if file.name not in _LISTS}
    blob = max((to / "images").rglob("blobs/sha256/*"), key=lambda file: file.stat().st_size)
    good = blob.read_bytes()
    blob.write_bytes(b"x" * len(good))
    assert carol("mirror", app, str(to)).status == 0
    assert blob.read_bytes() == good


_LISTS = ("index.json", "oci-layout")


def test_an_older_state_is_never_written_over_a_newer_one(
    service: RunningService, alice: Person, carol: Person, tmp_path: Path
) -> None:
    gun = f"{service.host}/air/moving"
    alice.push(f"{gun}:v1")
    assert alice("sign", f"{gun}:v1").status == 0
    to = tmp_path / "mirror"
    assert carol("mirror", gun, str(to)).status == 0
    metadata = to / "v2" / gun / "_trust" / "metadata"
    old = shutil.copytree(metadata, tmp_path / "old")
    alice.push(f"{gun}:v1", "new")
    assert alice("sign", f"{gun}:v1").status == 0
    assert carol("mirror", f"{gun}:v1", str(to)).status == 0
    assert set(names(old)) < set(names(metadata)), "older versions stay for whoever is in the middle"
    timestamp = json.loads((metadata / "timestamp.json").read_bytes())
    timestamp["signed"]["version"] += 5
    newer = json.dumps(timestamp, sort_keys=True, separators=(",", ":")).encode()
    (metadata / "timestamp.json").write_bytes(newer)
    refused = carol("mirror", gun, str(to))
    assert (refused.status, refused.slug) == (3, "rolled-back")
    assert (metadata / "timestamp.json").read_bytes() == newer
    (metadata / "timestamp.json").write_bytes((old / "timestamp.json").read_bytes())
    newest = max(metadata.glob("*.targets.json"), key=lambda file: int(file.name.partition(".")[0]))
    newest.write_bytes(b"{}")
    refused = carol("mirror", gun, str(to))
    assert (refused.status, refused.slug) == (1, "conflict")


def test_nothing_is_written_of_what_is_not_trusted(app: str, service: RunningService, tmp_path: Path) -> None:
    stranger = service.principal("stranger", "AcrPull")
    to = tmp_path / "mirror"
    refused = stranger("mirror", app, str(to))
    assert (refused.status, refused.slug) == (3, "no-pin")
    assert [file for file in to.rglob("*") if file.is_file()] == []


@pytest.mark.real
def test_another_registry_takes_the_images_by_digest_and_tag(
    app: str, start_docker_registry: Callable[..., str], carol: Person
) -> None:
    """A real one, which knows nothing of signatures; what a verify prints is what it has."""
    to = f"{start_docker_registry()}/copies/app"
    done = carol("mirror", f"{app}:multi", to)
    assert (done.status, done.out) == (0, carol("verify", f"{app}:multi").out), done.err
    assert "Images only" in done.err
    assert "0 blob(s) were new" in carol("mirror", f"{app}:multi", to).err
    host, _, repository = to.partition("/")
    request = urllib.request.Request(f"http://{host}/v2/{repository}/manifests/multi", headers={"Accept": OCI_INDEX})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert f"{Digest.of(answer.read())}" in done.out


@pytest.mark.parametrize(
    ("words", "slug"),
    [
        (["x"], ""),
        (["APP:v1", "APP:v1", "not a name"], "invalid-name"),
        (["APP", "OTHER", "127.0.0.1:1/copies/app"], "usage"),
        (["APP@sha256:" + "0" * 64, "dir:/tmp/none"], "invalid-reference"),
    ],
)
def test_what_cannot_be_asked_for_is_a_usage_error(app: str, carol: Person, words: list[str], slug: str) -> None:
    told = carol("mirror", *(word.replace("APP", app).replace("OTHER", f"{app}2") for word in words))
    assert (told.status, told.slug) == (2, slug), told.err
