"""Converting a collection of Docker that trustkit signs: keys, bounds, what a killed client or service leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.service import FORKS, PASSPHRASE, SECONDS, Person, Result, RunningService

numbers = count()

KILL = "os.kill(os.getpid(), signal.SIGKILL)"
MOMENTS = {
    "keys made at the service, nothing uploaded": f"HttpConversions.convert = lambda *a, **k: {KILL}",
    "converted, no answer seen": f"real = HttpConversions.convert\n"
    f"HttpConversions.convert = lambda *a, **k: (real(*a, **k), {KILL})",
    "converted, not read back": f"Convert._check_frozen = lambda *a, **k: {KILL}",
    "read back, not pinned": f"FilePinStore.add = lambda *a, **k: {KILL}",
}
"""By the moment: what has the client end as kill -9 would end it then."""


@pytest.fixture(scope="module")
def alice(service: RunningService) -> Person:
    made = service.principal("alice", "AcrPush", "AcrImageSigner")
    made.environ["TRUSTKIT_SIGNER_PASSPHRASE"] = PASSPHRASE
    return made


def done(result: Result) -> str:
    assert result.status == 0, result.err
    return result.out


@pytest.fixture
def gun(service: RunningService, alice: Person) -> str:
    """A collection in format docker with v1 and v2."""
    named = f"{service.host}/convert/app{next(numbers)}"
    for tag in ("v1", "v2"):
        alice.push(f"{named}:{tag}")
    done(alice("init", named, "--format", "docker"))
    done(alice("sign", f"{named}:v1", f"{named}:v2"))
    return named


def convert(person: Person, gun: str, *more: str) -> Result:
    return person("convert", gun, "--to", "tuf", *more)


def told(person: Person, gun: str, *more: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done(convert(person, gun, "--format", "json", *more)))
    return found


def pinned(person: Person, gun: str) -> str:
    rows = {row["pattern"]: row["format"] for row in json.loads(done(person("pin", "list", "--format", "json")))}
    return str(rows[gun])


def killed(person: Person, code: str, *arguments: str) -> Result:
    lines = [
        "import os, signal",
        "from trustkit.client.convert import Convert",
        "from trustkit.home.pins import FilePinStore",
        "from trustkit.remote.convert import HttpConversions",
        code,
    ]
    environ = {**os.environ, **person.environment()}
    return Result(*FORKS.run(list(arguments), environ, "", SECONDS, first="\n".join(lines)))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_client_goes_on_where_it_was(alice: Person, gun: str, moment: str) -> None:
    cut = killed(alice, MOMENTS[moment], "convert", gun, "--to", "tuf")
    assert cut.status == -signal.SIGKILL, cut.err
    assert pinned(alice, gun) == "docker"
    report = told(alice, gun)
    assert report["state"] == ("converted" if "nothing uploaded" in moment else "done")
    assert pinned(alice, gun) == "tuf"
    done(alice("verify", f"{gun}:v1", f"{gun}:v2"))
    assert told(alice, gun)["state"] == "done"


def test_a_killed_service_has_done_all_of_it_or_nothing(service: RunningService, alice: Person, gun: str) -> None:
    began = time.monotonic()
    done(convert(alice, gun, "--dry-run"))
    usual = time.monotonic() - began
    for part in (1.0, 1.2, 1.4, 1.6):
        ended: list[Result] = []
        running = threading.Thread(target=lambda into=ended: into.append(convert(alice, gun)))
        running.start()
        time.sleep(usual * part)
        service.kill()
        running.join()
        service.start()
        assert ended[0].status in (0, 1, 4), ended[0].err
        done(alice("verify", f"{gun}:v1", f"{gun}:v2"))
    done(convert(alice, gun))
    assert pinned(alice, gun) == "tuf"
    done(alice("sign", f"{gun}:v2"))


def test_a_dry_run_changes_nothing_and_its_report_is_whole(service: RunningService, alice: Person, gun: str) -> None:
    rows = service.admin("audit", "list").out
    report = told(alice, gun, "--dry-run", "--docker-until", "30d")
    assert (report["state"], report["problems"], report["left"], report["signers"]) == ("planned", [], [], [])
    assert [tag["tag"] for tag in report["tags"]] == ["v1", "v2"]
    assert {key["role"] for key in report["keys"] if key["place"]} == {"root", "repository"}
    words = done(convert(alice, gun, "--dry-run"))
    assert "tags kept: 2 (v1, v2)" in words
    assert "Nothing was changed." in words
    assert service.admin("audit", "list").out == rows
    assert pinned(alice, gun) == "docker"


@pytest.mark.parametrize(
    ("until", "status", "slug"),
    [
        pytest.param("soon", 2, "invalid-setting", id="no moment"),
        pytest.param("2027-02-30", 2, "invalid-setting", id="no day"),
        pytest.param("9000d", 1, "bad-expiry", id="beyond the service's bounds"),
    ],
)
def test_a_final_expiry_that_can_not_be(alice: Person, gun: str, until: str, status: int, slug: str) -> None:
    refused = convert(alice, gun, "--docker-until", until)
    assert (refused.status, refused.slug) == (status, slug), refused.err
    assert pinned(alice, gun) == "docker"


def test_the_keys_that_it_takes(alice: Person, gun: str, tmp_path: Path) -> None:
    other = Person("other", tmp_path / "other")
    shutil.copytree(alice.home / "docker", other.home / "docker")
    shutil.copytree(alice.home / "trustkit", other.home / "trustkit")
    keys = json.loads(done(other("key", "list", "--format", "json")))
    (root,) = [key["id"] for key in keys if key["role"] == "root"]
    wrong = other("convert", gun, "--to", "tuf", "--passphrase-file", str(file_of(tmp_path, "not the passphrase")))
    assert (wrong.status, wrong.slug) == (6, "wrong-passphrase"), wrong.err
    (other.home / "trustkit" / "keys" / f"{root}.pem").unlink()
    missing = convert(other, gun)
    assert (missing.status, missing.slug) == (6, "key-missing"), missing.err
    assert root[:16] in missing.err
    assert convert(other, gun, "--dry-run").slug == "key-missing"
    assert pinned(other, gun) == "docker"


def file_of(folder: Path, text: str) -> Path:
    path = folder / "passphrase"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_signers_go_on_with_the_keys_that_they_have(
    service: RunningService, alice: Person, gun: str, tmp_path: Path
) -> None:
    ann = Person("ann", tmp_path / "ann")
    ann.environ["TRUSTKIT_SIGNER_PASSPHRASE"] = PASSPHRASE
    shutil.copytree(alice.home / "docker", ann.home / "docker")
    done(ann("key", "generate", "--role", "signer", "--name", "ann", "--algorithm", "ecdsa-p256"))
    (key,) = json.loads(done(ann("key", "list", "--format", "json")))
    public = tmp_path / "ann.pub"
    public.write_text(done(ann("key", "export", key["id"], "--public")))
    done(alice("signer", "add", "ann", gun, "--key", str(public), "--yes"))
    done(ann("pin", "add", gun, "--format", "docker", "--root-key", root_of(alice, gun)))
    done(ann("sign", f"{gun}:v2"))
    report = told(alice, gun)
    assert [signer["name"] for signer in report["signers"]] == ["ann"]
    assert report["unattributed"] == ["ann"]
    alice.push(f"{gun}:v3")
    done(ann("sign", f"{gun}:v3"))
    assert pinned(ann, gun) == "tuf"
    done(alice("verify", f"{gun}:v1", f"{gun}:v3"))
    assert "ann" in next(line for line in done(alice("inspect", gun)).splitlines() if line.startswith("v3"))


def test_the_operator_sees_what_is_left_of_it(service: RunningService, alice: Person, gun: str) -> None:
    def row() -> dict[str, Any]:
        rows = json.loads(done(service.admin("collection", "list", "--format", "json")))
        found: dict[str, Any] = next(row for row in rows if row["collection"] == gun)
        return found

    assert (row()["format"], row()["converted"]) == ("docker", None)
    done(convert(alice, gun, "--docker-until", "10d"))
    assert (row()["format"], row()["docker_ended"], row()["state"]) == ("tuf", None, "open")
    listed = done(service.admin("collection", "list"))
    assert [line.split()[-2] for line in listed.splitlines() if line.startswith(gun)] == ["until"]
    done(alice("revoke", f"{gun}:v2"))
    assert row()["docker_reason"] == "v2 was revoked or signed anew since"
    listed = done(service.admin("collection", "list"))
    assert "ended" in next(line for line in listed.splitlines() if line.startswith(gun))


def test_status_tells_of_it_and_its_publisher_ends_it(service: RunningService, alice: Person, gun: str) -> None:
    """The end comes after a look, and once; whoever may only pull is told the same."""

    def side(person: Person) -> Any:
        shown = person("status", gun, "--format", "json")
        assert (shown.status, "docker reads" in shown.err) == (0, False), shown.err
        return json.loads(shown.out)[0]["docker"]

    def ending(*more: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(done(alice("convert", gun, "--end-docker", "--format", "json", *more)))
        return found

    never = alice("convert", gun, "--end-docker")
    assert (never.status, never.slug) == (1, "not-found"), never.err
    assert f"trustkit convert {gun} --to tuf" in never.err
    root = root_of(alice, gun)
    assert side(alice) is None
    done(convert(alice, gun, "--docker-until", "40d"))
    reads = side(alice)
    assert (reads["ended"], reads["reason"]) == (None, None)
    assert datetime.fromisoformat(reads["until"]) - datetime.fromisoformat(reads["converted"]) > timedelta(days=39)
    words = f"; docker reads what was signed then, until {reads['until'][:10]}"
    assert words in done(alice("status", gun))
    rita = service.principal("rita", "AcrPull")
    done(rita("pin", "add", gun, "--format", "docker", "--root-key", root))
    assert side(rita) == reads

    assert ending("--dry-run") == {"gun": gun, "state": "planned", "docker": reads}
    assert "Nothing was changed." in done(alice("convert", gun, "--end-docker", "--dry-run"))
    assert side(alice) == reads
    refused = rita("convert", gun, "--end-docker")
    assert (refused.status, refused.slug) == (5, "role-missing"), refused.err
    ended = ending()
    assert (ended["state"], ended["docker"]["reason"]) == ("ended", "its publisher ended it")
    assert side(rita) == side(alice) == ended["docker"]
    assert ending() == {**ended, "state": "done"}
    for words in (("status", gun), ("convert", gun, "--end-docker")):
        assert ": its publisher ended it" in done(alice(*words))
    rows = json.loads(done(service.admin("audit", "list", "--format", "json")))
    found = [row for row in rows if row["subject"] == gun and row["action"] == "docker-side-ended"]
    assert [row["actor"] for row in found] == ["alice"], found
    done(alice("verify", f"{gun}:v1", f"{gun}:v2"))


def test_a_renewal_follows_the_pin(alice: Person, gun: str, tmp_path: Path) -> None:
    """On a machine of the same publisher's that didn't convert; one that only looks writes nothing down."""
    other = twin(alice, tmp_path)
    done(convert(alice, gun))
    looked = other("renew", gun, "--all", "--dry-run")
    assert (looked.status, pinned(other, gun)) == (0, "docker"), looked.err
    assert f"{gun}: targets would be signed anew" in looked.out
    assert done(other("renew", gun, "--within", "0")) == ""
    assert pinned(other, gun) == "tuf"
    assert f"{gun}: targets is at version 2" in done(other("renew", gun, "--all"))


def test_a_renewal_by_a_pin_that_does_not_follow_says_why(alice: Person, gun: str, tmp_path: Path) -> None:
    """Of a root key that was rotated out before: the rotation was followed, and the conversion isn't."""
    publisher, other = twin(alice, tmp_path / "publisher"), twin(alice, tmp_path)
    done(publisher("key", "rotate", gun, "--role", "root", "--yes"))
    done(convert(publisher, gun))
    refused = other("renew", gun, "--all")
    assert (refused.status, refused.slug) == (3, "converted"), refused.err
    assert pinned(other, gun) == "docker"


def twin(person: Person, folder: Path) -> Person:
    """Another machine of the same person, as this one is now."""
    made = Person("twin", folder / "twin")
    made.environ |= person.environ
    for name in ("docker", "trustkit"):
        shutil.copytree(person.home / name, made.home / name)
    return made


@pytest.mark.parametrize(
    "words",
    [
        pytest.param((), id="nothing said"),
        pytest.param(("--end-docker", "--to", "tuf"), id="both"),
        pytest.param(("--end-docker", "--docker-until", "1d"), id="later"),
        pytest.param(("--end-docker", "--drop-rest"), id="and drop"),
    ],
)
def test_what_is_to_be_done_is_said(alice: Person, words: tuple[str, ...]) -> None:
    refused = alice("convert", "registry.example.com/app", *words)
    assert (refused.status, refused.slug) == (2, "usage"), refused.err
    assert "--end-docker" in refused.err


def root_of(person: Person, gun: str) -> str:
    rows = json.loads(done(person("pin", "list", "--format", "json")))
    return str(next(row["root_keys"][0] for row in rows if row["pattern"] == gun))


def test_what_is_no_collection_of_docker(service: RunningService, alice: Person) -> None:
    ours = f"{service.host}/convert/ours"
    alice.push(f"{ours}:v1")
    done(alice("sign", f"{ours}:v1"))
    refused = convert(alice, ours)
    assert (refused.status, refused.slug) == (1, "wrong-format"), refused.err
    nothing = convert(alice, f"{service.host}/convert/nothing")
    assert (nothing.status, nothing.slug) == (3, "no-collection"), nothing.err
    bob = service.principal("bob", "AcrPush")
    assert (convert(bob, ours).status, convert(bob, ours).slug) == (5, "role-missing")
