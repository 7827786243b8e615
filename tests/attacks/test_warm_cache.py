"""A warm cache meets 401, 403, 404, 429, 500, HTML and timeouts (TRUST 6.3, 6.4).

What was verified before is never fallen back to, and nobody's word makes it "unsigned": that takes signatures.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks.evil import Lie, Stage, refusal
from tests.remote.conftest import Handler
from tests.simulator import manifest
from trustkit.remote.http import Limits

HTML = b"<!doctype html><title>Sign in to the guest network</title>"


def _plain(status: int, body: bytes = b"", **headers: str) -> Callable[[Handler], None]:
    return lambda handler: handler.reply(status, body, **headers)


def _html(status: int) -> Callable[[Handler], None]:
    return _plain(status, HTML, Content_Type="text/html")


def _hangs_up(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(2)


def _breaks_off(handler: Handler) -> None:
    handler.reply(200, b'{"signatures":[', Content_Length="1000")
    handler.close_connection = True


def _no_http(handler: Handler) -> None:
    handler.wfile.write(b"220 mail.example.com ESMTP\r\n")
    handler.close_connection = True


def _silent(handler: Handler) -> None:
    handler.close_connection = True
    time.sleep(3)


ANSWERS: dict[str, tuple[Lie, int, str]] = {
    "401": (_plain(401), 5, "login-required"),
    "401 with our slug": (refusal(401, "login-required"), 5, "login-required"),
    "401, and says unsigned": (refusal(401, "unsigned"), 5, "login-required"),
    "401, and says no collection": (refusal(401, "no-collection"), 5, "login-required"),
    "403": (_plain(403), 5, "role-missing"),
    "403 HTML": (_html(403), 5, "role-missing"),
    "403 with our slug": (refusal(403, "role-missing"), 5, "role-missing"),
    "403, and says unsigned": (refusal(403, "unsigned"), 4, "garbage"),
    "403, and says expired": (refusal(403, "expired"), 4, "garbage"),
    "403, and says no collection": (refusal(403, "no-collection"), 5, "role-missing"),
    "403, content trust off": (refusal(403, "content-trust-disabled"), 4, "content-trust-disabled"),
    "404": (_plain(404), 4, "garbage"),
    "404 HTML": (_html(404), 4, "garbage"),
    "404 of a registry": (refusal(404, code="NAME_UNKNOWN"), 4, "garbage"),
    "404, and says unsigned": (refusal(404, "unsigned"), 4, "garbage"),
    "404, and says conflict": (refusal(404, "conflict"), 4, "garbage"),
    "404, and says unreachable": (refusal(404, "unreachable"), 4, "garbage"),
    "403, and says timed out": (refusal(403, "timed-out"), 5, "role-missing"),
    "403, and says that it failed": (refusal(403, "server-failed", told=503), 5, "role-missing"),
    "409, and says malformed": (refusal(409, "malformed"), 4, "garbage"),
    "410": (_plain(410), 4, "server-failed"),
    "429": (_plain(429, Retry_After="1"), 4, "server-failed"),
    "429 with our slug": (refusal(429, "rate-limited"), 5, "rate-limited"),
    "429, and says unsigned": (refusal(429, "unsigned"), 4, "server-failed"),
    "500": (_plain(500), 4, "server-failed"),
    "500, and says unsigned": (refusal(500, "unsigned"), 4, "server-failed"),
    "500, and says no collection": (refusal(500, "no-collection"), 4, "server-failed"),
    "500, and says not found": (refusal(500, "not-found"), 4, "server-failed"),
    "502 HTML": (_html(502), 4, "server-failed"),
    "503 with our slug": (refusal(503, "could-not-check"), 4, "server-failed"),
    "200 HTML": (_html(200), 4, "garbage"),
    "200 empty": (_plain(200), 4, "garbage"),
    "200 with an error in it": (refusal(200, "unsigned"), 4, "garbage"),
    "204": (_plain(204), 4, "garbage"),
    "206": (_plain(206, b"{}"), 4, "garbage"),
    "302 elsewhere": (_plain(302, Location="http://127.0.0.1:9/"), 4, "garbage"),
    "304": (_plain(304), 4, "garbage"),
    "hangs up": (_hangs_up, 4, "unreachable"),
    "breaks off": (_breaks_off, 4, "garbage"),
    "no HTTP": (_no_http, 4, "garbage"),
    "silent": (_silent, 4, "timed-out"),
}
"""How the service answers, and how a verify ends: its status and slug."""

FILES = ["2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"]
"""Each file that a verify of the new state asks for, in order."""


@pytest.mark.parametrize("case", ANSWERS)
@pytest.mark.parametrize("file", FILES)
def test_a_warm_cache_is_not_fallen_back_to(stage: Stage, file: str, case: str) -> None:
    stage.meet("warm")
    stage.honest.release("v1", manifest("new"))
    stage.server.lies[file], status, slug = ANSWERS[case]
    if case == "silent":
        stage.victim.limits = Limits(total=1)
    stage.refuses(status, slug)
    assert file in stage.server.seen
    stage.victim.limits = None
    stage.recovers()


@pytest.mark.parametrize("case", ANSWERS)
def test_a_cold_cache_says_the_same(stage: Stage, case: str) -> None:
    stage.meet("cold")
    stage.server.lies["*"], status, slug = ANSWERS[case]
    if case == "silent":
        stage.victim.limits = Limits(total=1)
    stage.refuses(status, slug)
    assert stage.server.seen[-1] == "1.root.json", "nothing more is asked for"
    stage.victim.limits = None
    stage.recovers()


@pytest.mark.parametrize("file", FILES[1:])
def test_a_file_that_has_to_be_there_is_said_not_to_be(stage: Stage, cache: str, file: str) -> None:
    """404 with our own slug: the end of the walk for a next root, and no answer for anything else."""
    stage.meet(cache)
    stage.honest.release("v1", manifest("new"))
    stage.server.lies[file] = refusal(404, "not-found")
    stage.refuses(4, "garbage")
    stage.recovers()


def test_the_first_root_is_said_not_to_be_there(stage: Stage) -> None:
    stage.server.lies["1.root.json"] = refusal(404, "not-found")
    stage.refuses(4, "garbage")
    stage.recovers()


@pytest.mark.parametrize("file", ["*", *FILES])
def test_a_known_collection_is_gone(stage: Stage, file: str) -> None:
    """Said by our own slug; for a collection that was never seen it is believed, and for this one it isn't."""
    stage.meet("warm")
    stage.honest.release("v1", manifest("new"))
    stage.server.lies[file] = refusal(404, "no-collection")
    stage.refuses(4, "collection-gone")
    asked = stage.victim.as_process("verify", stage.ref)
    assert (asked.status, asked.slug, asked.out) == (4, "collection-gone", "")
    never = stage.other_victim()
    stage.refuses(*((3, "no-collection") if file == "*" else (4, "collection-gone")), never)
    stage.recovers()


def test_a_collection_is_known_by_its_root_file_or_under_another_pin(stage: Stage) -> None:
    stage.meet("warm")
    stage.server.collections.clear()
    stage.pin_file(stage.victim, stage.honest.files["root"])
    stage.refuses(4, "collection-gone")
    cold = stage.other_victim()
    stage.refuses(3, "no-collection", cold)
    stage.pin_file(cold, stage.honest.files["root"])
    stage.refuses(4, "collection-gone", cold)
    stage.recovers()


def test_another_collection_of_the_same_service_was_never_known(stage: Stage) -> None:
    stage.meet("warm")
    other = f"{stage.server.host}/team/other"
    stage.victim("pin", "add", other, "--root-key", stage.honest.root.public_key.keyid)
    result = stage.victim("verify", f"{other}:v1", stage.ref)
    assert (result.status, result.slug, result.out) == (3, "no-collection", stage.trusted)


@pytest.mark.parametrize("command", ["verify", "pull", "inspect"])
def test_nobody_listens(stage: Stage, command: str, tmp_path: Path) -> None:
    """Being offline waives nothing, however fresh the cache is."""
    stage.meet("warm")
    stage.server.close()
    words = {
        "verify": ["verify", stage.ref],
        "pull": ["pull", stage.ref, "--to", f"oci:{tmp_path / 'out'}"],
        "inspect": ["inspect", str(stage.gun)],
    }
    for run in (stage.victim, stage.victim.as_process):
        asked = run(*words[command])
        assert (asked.status, asked.slug, asked.out) == (4, "unreachable", ""), asked.err
    assert not (tmp_path / "out").exists()
    stage.server.open()
    stage.recovers()


@pytest.mark.parametrize("status", [401, 403, 404, 429])
@pytest.mark.parametrize("slug", ["unreachable", "timed-out", "server-failed"])
def test_an_answer_that_says_it_is_none_is_one(stage: Stage, tmp_path: Path, status: int, slug: str) -> None:
    """A policy lets what was verified before count where nobody answers, not where an answer says so (TRUST 6.3)."""
    policy = tmp_path / "policy.toml"
    policy.write_text(f'version = 1\n[[rule]]\npattern = "{stage.gun}"\nmax_staleness = "1d"\n')
    stage.meet("warm")
    stage.server.lies["*"] = refusal(500)
    assert stage.victim("verify", "--policy", str(policy), stage.ref).out == stage.trusted
    stage.server.lies["*"] = refusal(status, slug, told=503)
    refused = stage.victim("verify", "--policy", str(policy), stage.ref)
    assert (refused.out, refused.status in (4, 5)) == ("", True), refused.err
    stage.recovers()


def test_a_damaged_cache_is_no_verdict_where_nobody_answers(stage: Stage, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(f'version = 1\n[[rule]]\npattern = "{stage.gun}"\nmax_staleness = "1d"\n')
    stage.meet("warm")
    (file,) = (stage.victim.home / "cache" / "metadata").glob("*/*/targets.json")
    file.write_bytes(file.read_bytes()[:100])
    stage.server.lies["*"] = refusal(500)
    refused = stage.victim("verify", "--policy", str(policy), stage.ref)
    assert (refused.status, refused.slug, refused.out) == (1, "state", ""), refused.err
    stage.recovers()


@pytest.mark.parametrize("damage", ["empty", "cut", "folder"])
@pytest.mark.parametrize("name", ["anchor/root.json", "timestamp.json", "root_history/1.root.json"])
def test_a_cache_that_a_crash_has_damaged_is_no_stranger_s_root(stage: Stage, name: str, damage: str) -> None:
    """It is fetched anew, or said to be unusable; it is never told as an attack, and never a traceback.

    The timestamp tells of older versions, so nothing is taken in its place.
    """
    stage.meet("warm")
    (file,) = (stage.victim.home / "cache" / "metadata").glob(f"*/*/{name}")
    if damage == "folder":
        file.unlink()
        (file / "x").mkdir(parents=True)
        stage.refuses(1, "state")
        shutil.rmtree(file)
    else:
        file.write_bytes(b"" if damage == "empty" else file.read_bytes()[:100])
        if name == "timestamp.json":
            assert f"Delete {file.parent};" in stage.refuses(1, "state").err
            shutil.rmtree(file.parent)
    stage.recovers()


def test_deleting_the_cache_loses_no_decision(stage: Stage) -> None:
    """The pin stays; what was verified from it is fetched again, and a stranger's root is still refused."""
    stage.meet("warm")
    shutil.rmtree(stage.victim.home / "cache")
    stage.server.close()
    stage.refuses(4, "unreachable")
    stage.server.open()
    stage.recovers()
