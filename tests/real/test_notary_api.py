"""Stock docker and notary against our service over TLS: what they did with Docker's own server they do here."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.notary_stand import NotaryStand, Someone, upload
from tests.real.parts import Docker, Tool, within
from tests.replicas.fleet import eventually
from tests.service import Result, run

pytestmark = pytest.mark.real

NOT_AUTHORIZED = "you are not authorized to perform this operation: server returned 401."


@pytest.fixture(scope="module")
def stand(
    need: Callable[[str, str], Path], docker: Docker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NotaryStand]:
    made = NotaryStand.of(tmp_path_factory.mktemp("notary-api"), docker, Tool(need("notary", "notary"), {}))
    yield made
    made.service.stop()


@pytest.fixture
def alice(stand: NotaryStand) -> Someone:
    return stand.people["alice"]


@pytest.fixture
def target(tmp_path: Path) -> str:
    file = tmp_path / "target"
    file.write_text("what is signed")
    return str(file)


@pytest.fixture(scope="module")
def signer(stand: NotaryStand) -> str:
    """The public key of a signer, whose private key alice's docker has, too."""
    stand.people["alice"].docker("trust", "key", "generate", "ci", "--dir", str(stand.folder))
    return str(stand.folder / "ci.pub")


@pytest.fixture(scope="module")
def delegate(stand: NotaryStand, need: Callable[[str, str], Path]) -> str:
    """A certificate of a delegation, whose private key alice's notary has."""
    key, certificate = stand.folder / "delegate.key", stand.folder / "delegate.crt"
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=delegate")
    made = Tool(need("openssl", "openssl"), {})({}, *new, "-keyout", str(key), "-out", str(certificate))
    assert made.status == 0, made.err
    stand.people["alice"].notary("key", "import", str(key), "-r", "delegation")
    return str(certificate)


def test_notary_signs_and_others_read(stand: NotaryStand, alice: Someone, target: str) -> None:
    gun, carol = stand.gun("notary/first"), stand.people["carol"]
    alice.notary("init", gun, "-p")
    assert "does not have trust data" not in alice.notary("list", gun)
    alice.notary("add", gun, "v1", target, "-p")
    alice.notary("addhash", gun, "v2", "14", "--sha256", hashlib.sha256(b"what is signed").hexdigest(), "-p")
    for who in (alice, alice.elsewhere(), carol):
        assert who.listed(gun) == {"v1": "targets", "v2": "targets"}
    assert hashlib.sha256(b"what is signed").hexdigest() in carol.notary("lookup", gun, "v1")
    assert "what is signed" in carol.notary("verify", gun, "v1", feed="what is signed")
    assert "fatal" in carol.notary("verify", gun, "v1", feed="something else", fails=True)
    alice.notary("remove", gun, "v1", "-p")
    assert carol.listed(gun) == {"v2": "targets"}
    assert "nearing expiry" not in carol.notary("list", gun)
    assert "does not have trust data" in carol.notary("list", stand.gun("notary/nothing"), fails=True)
    assert NOT_AUTHORIZED in carol.notary("init", stand.gun("notary/carols"), "-p", fails=True)


def test_a_delegation_is_removed_and_added_again(
    stand: NotaryStand, alice: Someone, target: str, delegate: str
) -> None:
    """Docker's server refused the file of the new delegation, whose versions begin anew."""
    gun = stand.gun("notary/delegation")
    alice.notary("init", gun, "-p")
    alice.notary("key", "rotate", gun, "snapshot", "-r")
    for tag in ("v1", "v2"):
        alice.notary("delegation", "add", gun, "targets/releases", delegate, "--all-paths", "-p")
        for again in (tag, f"{tag}.1"):
            alice.notary("add", gun, again, target, "-r", "targets/releases", "-p")
        both = {tag: "targets/releases", f"{tag}.1": "targets/releases"}
        assert alice.listed(gun) == stand.people["carol"].elsewhere().listed(gun) == both
        assert "targets/releases" in alice.notary("delegation", "list", gun)
        alice.notary("delegation", "remove", gun, "targets/releases", "-y", "-p")
        assert alice.listed(gun) == {}
    alice.notary("delegation", "add", gun, "targets/releases", delegate, "--all-paths", "-p")
    alice.notary("witness", gun, "targets", "-p")
    alice.notary("delegation", "purge", gun, "--key", _delegate_key(alice, gun), "-p")


def _delegate_key(alice: Someone, gun: str) -> str:
    words = alice.notary("delegation", "list", gun).split()
    return next(word for word in words if len(word) == 64)


ROTATIONS = {
    "targets": ("targets",),
    "snapshot, to the service": ("snapshot", "-r"),
    "snapshot, within the service": ("snapshot", "-r"),
    "snapshot, back": ("snapshot",),
    "timestamp": ("timestamp", "-r"),
    "root": ("root",),
}


def test_every_key_is_rotated(stand: NotaryStand, alice: Someone, target: str) -> None:
    gun, warm = stand.gun("notary/rotation"), stand.people["carol"]
    alice.notary("init", gun, "-p")
    for number, (name, arguments) in enumerate(ROTATIONS.items()):
        alice.notary("add", gun, f"v{number}", target, "-p")
        alice.notary("key", "rotate", gun, *arguments, feed="yes\n")
        expected = {f"v{each}": "targets" for each in range(number + 1)}
        assert warm.listed(gun) == expected, name
        assert alice.elsewhere().listed(gun) == expected, name
    listed = json.loads(stand.admin("online-keys", "list", "--format", "json"))
    assert all(not row["pending"] for row in listed if row["gun"] == gun)


def test_an_owner_deletes_and_the_changefeed_tells(stand: NotaryStand, alice: Someone, target: str) -> None:
    gun, olga = stand.gun("notary/deleted"), stand.people["olga"]
    alice.notary("init", gun, "-p")
    alice.notary("add", gun, "v1", target, "-p")
    warm = alice.elsewhere()
    assert warm.listed(gun) == {"v1": "targets"}
    assert NOT_AUTHORIZED in alice.notary("delete", gun, "--remote", fails=True)
    olga.notary("delete", gun, "--remote")
    assert "does not have trust data" in alice.notary("list", gun, fails=True)
    olga.notary("init", gun, "-p")
    olga.notary("add", gun, "v2", target, "-p")
    assert stand.people["carol"].listed(gun) == {"v2": "targets"}
    assert "could not rotate trust" in warm.notary("list", gun, fails=True)

    token = stand.token("carol", f"repository:{gun}:pull")
    feed = f"/v2/{gun}/_trust/changefeed"
    every = stand.ask("GET", f"{feed}?records=0", token=token).json["records"]
    assert [(each["Category"], each["Version"]) for each in every] == [
        ("update", 1),
        ("update", 2),
        ("deletion", 0),
        ("update", 3),
        ("update", 4),
    ]
    assert {each["GUN"] for each in every} == {gun}
    forwards, backwards, at = [], [], 0
    while page := stand.ask("GET", f"{feed}?records=2&change_id={at}", token=token).json["records"]:
        forwards += page
        at = page[-1]["ID"]
    at = -1
    while page := stand.ask("GET", f"{feed}?records=-2&change_id={at}", token=token).json["records"]:
        backwards = page + backwards
        at = page[0]["ID"]
    assert forwards == backwards == every
    current = stand.ask("GET", f"/v2/{gun}/_trust/tuf/timestamp.json", token=token).body
    assert every[-1]["SHA256"] == hashlib.sha256(current).hexdigest()
    assert stand.ask("GET", feed, token=token).error["code"] == "INVALID_PARAMETERS"
    assert stand.ask("GET", "/v2/_trust/changefeed?records=1", token=token).status == 401
    catalog = stand.token("carol", "registry:catalog:*")
    assert stand.ask("GET", "/v2/_trust/changefeed?records=1", token=catalog).json["count"] == 1


def test_docker_pushes_and_pulls_what_is_signed(stand: NotaryStand, alice: Someone) -> None:
    first, second = stand.gun("docker/first"), stand.gun("docker/second")
    for gun in (first, second):
        stand.docker.make(f"{gun}:v1", gun)
        said = alice.docker("push", f"{gun}:v1")
        assert f"Successfully signed {gun}:v1" in said
    assert len(list((alice.folder / "docker" / "trust" / "private").glob("*.key"))) >= 3
    stand.docker.make(f"{first}:unsigned", "nobody signed this")
    assert alice.plain("push", f"{first}:unsigned").status == 0
    stand.docker.forget(f"{first}:v1", f"{first}:unsigned")
    carol = stand.people["carol"]
    assert "Tagging" in carol.docker("pull", f"{first}:v1")
    assert "No valid trust data for unsigned" in carol.docker("pull", f"{first}:unsigned", fails=True)
    assert "does not have trust data for" in carol.docker("pull", stand.gun("docker/none:v1"), fails=True)
    bob = stand.people["bob"]
    bobs = stand.gun("docker/bobs")
    stand.docker.make(f"{bobs}:v1", "of bob")
    assert NOT_AUTHORIZED in bob.docker("push", f"{bobs}:v1", fails=True)


def test_docker_signs_a_new_repository(stand: NotaryStand, alice: Someone) -> None:
    """It makes a signer of the name that logged in, and has the service hold the snapshot's key."""
    gun = stand.gun("docker/by-sign")
    stand.docker.make(f"{gun}:v1", "signed at once")
    said = alice.docker("trust", "sign", f"{gun}:v1")
    assert "Created signer: alice" in said
    assert f"Successfully signed {gun}:v1" in said
    stand.docker.forget(f"{gun}:v1")
    assert "Tagging" in stand.people["carol"].docker("pull", f"{gun}:v1")
    assert "targets/alice" in alice.elsewhere().notary("delegation", "list", gun)


def test_docker_manages_signers(stand: NotaryStand, alice: Someone, signer: str) -> None:
    """Removed and added again: version 1 of a delegation is there a second time."""
    gun = stand.gun("docker/signers")
    stand.docker.make(f"{gun}:v1", "signed by ci")
    alice.docker("trust", "signer", "add", "--key", signer, "ci", gun)
    for _ in range(2):
        alice.docker("trust", "sign", f"{gun}:v1")
        (shown,) = json.loads(alice.docker("trust", "inspect", gun))
        assert [tag["Signers"] for tag in shown["SignedTags"]] == [["ci"]]
        assert [each["Name"] for each in shown["Signers"]] == ["ci"]
        assert "ci" in alice.docker("trust", "inspect", "--pretty", gun)
        assert "Successfully removed" in alice.docker("trust", "signer", "remove", "ci", gun, feed="y\n")
        (shown,) = json.loads(alice.docker("trust", "inspect", gun).partition("]\ntime=")[0])
        assert (shown["SignedTags"], shown["Signers"]) == ([], [])
        alice.docker("trust", "signer", "add", "--key", signer, "ci", gun)
    alice.docker("trust", "sign", f"{gun}:v1")
    alice.docker("trust", "revoke", "-y", f"{gun}:v1")
    assert "No valid trust data for v1" in alice.docker("pull", f"{gun}:v1", fails=True)
    rows = json.loads(stand.admin("audit", "list", "--format", "json", "--limit", "1000"))
    details = [row["detail"] for row in rows if row["subject"] == gun and row["action"] == "published"]
    assert details[0]["tags"] == {"v1": None}
    assert ["targets/ci", "targets/releases"] in [detail.get("dropped") for detail in details]


def test_the_gate_serves_what_docker_signed(stand: NotaryStand, alice: Someone) -> None:
    gun, carol = stand.gun("gated/app"), stand.people["carol"]
    stand.docker.make(f"{gun}:v1", "gated and signed")
    alice.docker("push", f"{gun}:v1")
    stand.docker.make(f"{gun}:dev", "gated and not signed")
    assert alice.plain("push", f"{gun}:dev").status == 0
    stand.admin("repository", "set", "gated/app", "--trust-only")
    stand.docker.forget(f"{gun}:v1", f"{gun}:dev")
    assert within(5, lambda: carol.plain("pull", f"{gun}:dev").status != 0)
    refused = carol.plain("pull", f"{gun}:dev")
    assert "does not sign dev" in refused.err or "denied" in refused.err, refused.err
    assert carol.plain("pull", f"{gun}:v1").status == 0
    stand.docker.make(f"{gun}:v2", "signed behind the gate")
    pushed = re.search(r"digest: (sha256:[0-9a-f]{64})", alice.docker("push", f"{gun}:v2"))
    assert pushed
    stand.docker.forget(f"{gun}:v2")
    assert carol.plain("pull", f"{gun}:v2").status == 0
    token = stand.token("olga", "repository:gated/app:pull,delete")
    refused = stand.ask("DELETE", f"/v2/gated/app/manifests/{pushed[1]}", token=token)
    assert (refused.status, "in-use" in refused.body.decode()) == (403, True)


def test_a_collection_of_the_other_format_tells_stock_clients(stand: NotaryStand, alice: Someone) -> None:
    gun, told = stand.gun("tuf/app"), "is signed in format tuf, which Docker's and Notary's own clients can't read"
    stand.docker.make(f"{gun}:v1", "signed by trustkit")
    assert alice.plain("push", f"{gun}:v1").status == 0
    trustkit = {
        **alice.environ, "TRUSTKIT_HOME": str(alice.folder / "trustkit"), "SSL_CERT_FILE": str(stand.ca),
        "TRUSTKIT_ROOT_PASSPHRASE": "a passphrase", "TRUSTKIT_REPOSITORY_PASSPHRASE": "a passphrase",
    }  # fmt: skip
    signed = run(["sign", f"{gun}:v1"], trustkit)
    assert signed.status == 0, signed.err
    assert told in alice.docker("pull", f"{gun}:v1", fails=True)
    assert told in alice.docker("push", f"{gun}:v1", fails=True)
    assert told in alice.docker("trust", "sign", f"{gun}:v1", fails=True)
    assert told in alice.notary("list", gun, fails=True)
    assert told in alice.notary("init", gun, "-p", fails=True)
    token = stand.token("alice", f"repository:{gun}:pull,push")
    body, kind = upload(("root", b"{}"))
    refused = stand.ask("POST", f"/v2/{gun}/_trust/tuf/", token=token, body=body, headers={"Content-Type": kind})
    assert (refused.status, refused.error["detail"]["slug"]) == (400, "wrong-format")


def test_trustkit_verifies_what_docker_signed(stand: NotaryStand, alice: Someone) -> None:
    """From the id that docker shows to what becomes of it when the tag, and then the collection, is gone."""
    gun = stand.gun("docker/read")
    stand.docker.make(f"{gun}:v1", "read by trustkit")
    alice.docker("push", f"{gun}:v1")
    shown = json.loads(alice.docker("trust", "inspect", gun))[0]
    (key,) = [row["Keys"][0]["ID"] for row in shown["AdministrativeKeys"] if row["Name"] == "Root"]
    carol = stand.people["carol"]
    home = {"TRUSTKIT_HOME": str(carol.folder / "trustkit"), "SSL_CERT_FILE": str(stand.ca)}

    def trustkit(*arguments: str, **environ: str) -> Result:
        return run(list(arguments), {**carol.environ, **home, **environ})

    assert trustkit("pin", "add", gun, "--root-key", key).slug == "wrong-format"
    assert trustkit("pin", "add", gun, "--format", "docker", "--root-key", key).status == 0
    verified = trustkit("verify", f"{gun}:v1")
    assert verified.out == f"{gun}:v1@sha256:{shown['SignedTags'][0]['Digest']}\n", verified.err
    seen = json.loads(trustkit("inspect", gun, "--format", "json").out)[0]
    assert {name: seen[name] for name in shown} == shown
    assert trustkit("doctor", gun).status == 0
    stranger = trustkit("verify", f"{gun}:v1", DOCKER_CONFIG=str(carol.folder / "nobody"))
    assert (stranger.status, stranger.slug) == (5, "login-required"), stranger.err
    alice.docker("trust", "revoke", f"{gun}:v1")
    assert trustkit("verify", f"{gun}:v1").slug == "unsigned"
    olga = stand.people["olga"]
    olga.notary("delete", gun, "--remote")
    gone = trustkit("verify", f"{gun}:v1")
    assert (gone.status, gone.slug) == (4, "collection-gone"), gone.err


def test_the_operator_switches_the_api_off(stand: NotaryStand, alice: Someone) -> None:
    gun = stand.gun("switched/off")
    alice.notary("init", gun, "-p")
    token = stand.token("alice", f"repository:{gun}:pull")
    stand.admin("policy", "set", "notary-api", "disabled")
    try:  # it counts within a second, and docker may ask sooner
        eventually(lambda: stand.ask("GET", f"/v2/{gun}/_trust/tuf/root.json", token=token).status == 405, 1.0)
        for done in (
            alice.docker("pull", f"{gun}:v1", fails=True),
            alice.notary("init", stand.gun("switched/new"), "-p", fails=True),
        ):
            assert "unable to reach trust server at this time: 405" in done
    finally:
        stand.admin("policy", "set", "notary-api", "enabled")
    assert alice.listed(gun) == {}
    stand.admin("policy", "set", "default-format", "docker")
    try:
        token = stand.token("carol", "repository:switched/none:pull")
        path = f"/v2/{stand.gun('switched/none')}/_trust/metadata/timestamp.json"
        assert stand.ask("GET", path, token=token).error["detail"]["default_format"] == "docker"
    finally:
        stand.admin("policy", "set", "default-format", "tuf")


def test_what_is_served_and_how(stand: NotaryStand, alice: Someone, target: str) -> None:
    gun = stand.gun("served/app")
    alice.notary("init", gun, "-p")
    alice.notary("add", gun, "v1", target, "-p")
    token, tuf = stand.token("carol", f"repository:{gun}:pull"), f"/v2/{gun}/_trust/tuf"

    def get(tail: str, method: str = "GET") -> tuple[int, str, bytes]:
        answer = stand.ask(method, f"{tuf}/{tail}", token=token)
        assert answer.headers["content-length"] == str(len(answer.body)) or method == "HEAD"
        return answer.status, answer.headers.get("cache-control", ""), answer.body

    status, caching, timestamp = get("timestamp.json")
    assert (status, caching) == (200, "no-cache")
    assert get("2.timestamp.json")[::2] == (200, timestamp)
    digest = hashlib.sha256(timestamp).hexdigest()
    status, caching, found = get(f"timestamp.{digest}.json")
    assert (status, "immutable" in caching, found) == (200, True, timestamp)
    assert get(f"timestamp.{digest}.json", "HEAD") == (200, caching, b"")
    for role in ("root", "targets", "snapshot"):
        assert get(f"{role}.json")[0] == 200
    for tail in (
        f"root.{digest}.json", *(f"timestamp.{'0' * size}.json" for size in (64, 96, 128)), "9.root.json",
        "targets/releases.json", "targets/Bob.json", "root.key", "mirrors.json",
    ):  # fmt: skip
        assert get(tail)[0] == 404, tail
    assert stand.ask("GET", f"{tuf}/timestamp.json").status == 401
    assert stand.ask("GET", f"{tuf}/timestamp.key", token=token).status == 401
    assert stand.ask("PUT", f"{tuf}/timestamp.json", token=token).status == 404
    nobody = stand.ask("GET", f"/oauth2/token?service=x&scope=repository:{gun}:pull").json["token"]
    assert stand.ask("GET", f"{tuf}/timestamp.json", token=nobody).status == 401
    assert stand.ask("GET", "/v2/", token=nobody).status == 401
    for scope in ("repository:served/app:pull", f"repository:{gun}:pull,push", "registry:catalog:*", ""):
        assert stand.ask("GET", f"/oauth2/token?service=x&scope={scope}").status == 401
    stranger = f"/v2/{stand.gun('served/app').replace('localhost', 'example.com')}/_trust/tuf/root.json"
    assert stand.ask("GET", stranger, token=token).status == 404


BAD_UPLOADS = {
    "not multipart": (lambda body: body, "application/json", "MALFORMED_UPLOAD"),
    "truncated": (lambda body: body[:-9], "", "MALFORMED_UPLOAD"),
    "cut in the middle": (lambda body: body[: len(body) // 2], "", "MALFORMED_UPLOAD"),
    "nothing": (lambda body: b"--xyz", "", "MALFORMED_UPLOAD"),
    "a part twice": (lambda body: body[:-9] + body, "", "MALFORMED_UPLOAD"),
    "no filename": (lambda body: body.replace(b'; filename="root"', b"", 1), "", "MALFORMED_UPLOAD"),
    "a role of no kind": (lambda body: body.replace(b'"root"', b'"roots"', 1), "", "INVALID_UPDATE"),
    "a path": (lambda body: body.replace(b'"root"', b'"targets/../root"', 1), "", "MALFORMED_UPLOAD"),
    "the same again": (lambda body: body, "", "VERSION"),
    "a timestamp": (lambda body: body.replace(b'"root"', b'"timestamp"', 1), "", "INVALID_UPDATE"),
    "no JSON": (lambda body: body.replace(b'{"signed"', b'{"signe"', 1), "", "INVALID_UPDATE"),
}


def test_uploads_that_are_none_change_nothing(stand: NotaryStand, alice: Someone, target: str) -> None:
    """Each has an answer that a stock client can print, whole within the 1,024 bytes that it reads."""
    gun = stand.gun("uploads/bad")
    alice.notary("init", gun, "-p")
    token = stand.token("alice", f"repository:{gun}:pull,push")
    pull, tuf = stand.token("carol", f"repository:{gun}:pull"), f"/v2/{gun}/_trust/tuf"
    files = [(role, stand.ask("GET", f"{tuf}/{role}.json", token=pull).body) for role in ("root", "targets")]
    for case, (edit, kind, code) in BAD_UPLOADS.items():
        body, usual = upload(*files, edit=edit)
        headers = {"Content-Type": kind or usual}
        answer = stand.ask("POST", f"{tuf}/", token=token, body=body, headers=headers)
        assert (answer.status, answer.error["code"]) == (400, code), (case, answer.body)
        assert answer.error["detail"]["Error"]["Msg"], case
        assert len(answer.body) <= 1024, case
    body, kind = upload(*files)
    bare = stand.token("alice", "repository:uploads/bad:pull,push")
    refused = stand.ask("POST", f"{tuf}/", token=bare, body=body, headers={"Content-Type": kind})
    assert refused.status == 401, "a token for pushing images is not one for signing"
    empty, kind = upload()
    assert stand.ask("POST", f"{tuf}/", token=token, body=empty, headers={"Content-Type": kind}).status == 200
    current = stand.ask("GET", f"{tuf}/1.timestamp.json", token=pull).body
    assert stand.ask("GET", f"{tuf}/timestamp.json", token=pull).body == current
