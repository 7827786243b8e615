"""Collections in format docker over HTTP: what is asked for, what is kept, who is asked where nothing is pinned."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from tests.attacks.dockers import DockerStage, DockerVictim
from tests.formats_docker.forge import ecdsa, role_of, tags
from trustkit.client.formats import FormatSource
from trustkit.client.trust import Trust
from trustkit.core.names import Host
from trustkit.errors import NoPin, WrongFormat
from trustkit.remote.notary import TrustServer

NEW = "1e" * 32


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[DockerStage]:
    made = DockerStage.build(tmp_path)
    alice = ecdsa()
    made.honest.forge.delegate(role_of("targets/releases", alice[0]), tags("v1", digest=NEW), alice)
    made.honest.forge.delegate(role_of("targets/alice", alice[0]), tags("v1", digest=NEW), alice)
    made.serve(made.honest.publish())
    yield made
    made.server.close()


def asked(stage: DockerStage) -> list[str]:
    """What was asked for since the last time, without hashes."""
    found = [re.sub(r"\.[0-9a-f]{64}\.json\Z", "", name) for name in stage.server.seen]
    stage.server.seen.clear()
    return found


def test_a_cold_verify_asks_for_each_file_once_and_a_warm_one_for_two(stage: DockerStage) -> None:
    asked(stage)
    stage.trusts()
    first = ["1.root.json", "2.root.json", "timestamp.json", "snapshot", "targets", "targets/releases"]
    assert asked(stage) == first
    stage.trusts()
    assert asked(stage) == ["2.root.json", "timestamp.json"]
    assert stage.victim("verify", stage.ref, f"{stage.gun}@sha256:{NEW}").status == 0
    assert asked(stage) == ["2.root.json", "timestamp.json"] * 2 + ["targets/alice"]


def test_many_tags_are_one_refresh(stage: DockerStage) -> None:
    stage.honest.release("v2", NEW, role="targets/releases")
    stage.serve(stage.honest.names)
    stage.trusts()
    asked(stage)
    assert stage.victim("verify", stage.ref, f"{stage.gun}:v2").status == 0
    assert asked(stage) == ["2.root.json", "timestamp.json"]


def test_only_what_changed_is_asked_for(stage: DockerStage) -> None:
    stage.trusts()
    stage.honest.release("v9", NEW, role="targets/releases")
    before = stage.honest.names
    stage.serve(before)
    asked(stage)
    stage.trusts()
    assert asked(stage)[:3] == ["2.root.json", "timestamp.json", "snapshot"]


def test_several_threads_share_a_home(stage: DockerStage) -> None:
    ends: list[int] = []
    context = stage.victim.context()

    def verify() -> None:
        context.verify()
        ends.append(len(context.trust(only=None).current(stage.gun, context.now()).view.targets))

    threads = [Thread(target=verify) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == [1] * 8


def test_a_server_without_old_roots_is_believed_from_its_current_one_on(stage: DockerStage) -> None:
    """A migrated collection may have no history; the current root meets the pin all the same."""
    stage.honest.rotate_root()
    key = stage.honest.root_key
    stage.serve(
        {name: data for name, data in stage.honest.names.items() if name not in ("1.root.json", "2.root.json")}
    )
    stage.pin(stage.victim, key)
    stage.trusts()
    stage.serve(stage.honest.rotate_root())
    stage.trusts()


def test_what_was_delegated_anew_begins_anew(stage: DockerStage) -> None:
    """Notary restarts the versions of a delegation that was removed and made again."""
    stage.honest.release("v1", "2f" * 32, role="targets/releases")
    stage.serve(stage.honest.names)
    stage.trusts()
    targets, again = stage.honest.forge.roles["targets"], ecdsa()
    del stage.honest.forge.roles["targets/releases"]
    assert targets.delegations is not None
    assert targets.delegations.roles is not None
    del targets.delegations.roles["targets/releases"]
    targets.version += 1
    stage.serve(stage.honest.publish())
    stage.trusts()
    assert not list(stage.victim.home.glob("cache/metadata/*/docker-*/targets/releases.json"))
    stage.honest.forge.delegate(role_of("targets/releases", again[0]), tags("v1", digest=NEW), again)
    targets.version += 1
    stage.serve(stage.honest.publish())
    stage.trusts()


def trust(stage: DockerStage, **options: object) -> Trust:
    context = DockerVictim(stage.folder / "asked").context()
    source = context.source
    assert isinstance(source, FormatSource)
    return Trust(context.home.pins, source, **options)  # type: ignore[arg-type]  # options of Trust


def test_without_a_pin_a_person_is_told_the_format_and_asked(stage: DockerStage) -> None:
    stage.server.collections = {"other.example/x": stage.honest}  # type: ignore[dict-item]  # so that tuf is answered
    questions: list[str] = []

    def no(question: str) -> bool:
        questions.append(question)
        return False

    now = stage.victim.clock()
    with pytest.raises(NoPin):
        trust(stage, ask=no).current(stage.gun, now)
    assert "in the format of Docker Content Trust" in questions[0]
    assert stage.honest.root_key in questions[0]
    with pytest.raises(NoPin, match="Nothing says"):
        trust(stage).current(stage.gun, now)
    with pytest.raises(WrongFormat):
        trust(stage, ask=lambda _: True, only="tuf").current(stage.gun, now)
    yes = trust(stage, ask=lambda _: True)
    assert yes.current(stage.gun, now).pin.format == "docker"
    assert trust(stage).current(stage.gun, now).view.format == "docker"


def test_a_state_is_carried_to_another_pin(stage: DockerStage) -> None:
    context = stage.victim.context()
    now = context.now()
    current = context.trust(only=None).current(stage.gun, now)
    other = DockerVictim(stage.folder / "other").context()
    other.notary_source.carry(stage.gun, current.pin, current.files)
    kept = other.notary_source.kept(stage.gun, current.pin)
    assert kept is not None
    assert kept["timestamp"] == current.files["timestamp"]
    other.notary_source.carry(stage.gun, current.pin, {})
    assert other.notary_source.kept(stage.gun, current.pin) == kept


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (None, TrustServer(Host.parse("r.example"))),
        ("https://n.example", TrustServer(Host.parse("n.example"))),
        ("https://n.example:4443/a/trust", TrustServer(Host.parse("n.example:4443"), "/a/trust")),
        ("http://localhost:4443", TrustServer(Host.parse("localhost:4443"))),
    ],
)
def test_where_a_host_is_asked(url: str | None, place: TrustServer) -> None:
    assert TrustServer.of(Host.parse("r.example"), url) == place
