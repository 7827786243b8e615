"""A collection that outgrows one file: put into hash bins by the next signature, and used by everybody as before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from tests.e2e.registry_view import Own
from tests.service import Person, RunningService
from trustkit.core.names import Gun

EARLY = {"TRUSTKIT_BINS_ABOVE": "3"}


class _Stock(FetcherInterface):
    """What the service serves to a client that knows nothing of ours but where metadata lies."""

    def __init__(self, person: Person, gun: Gun) -> None:
        self._token = person.token(str(gun.host), f"repository:{gun.repository}:pull")
        self.asked: list[str] = []

    def _fetch(self, url: str) -> Iterator[bytes]:
        import urllib.error
        import urllib.request

        self.asked.append(url.rpartition("/")[2])
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self._token}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return iter([answer.read()])
        except urllib.error.HTTPError as error:
            raise DownloadHTTPError(url, error.code) from error


class Stock:
    """python-tuf's own client, which keeps its folder."""

    def __init__(self, person: Person, gun: str, folder: Path) -> None:
        self._gun, self._folder = Gun.parse(gun), folder
        folder.mkdir()
        self._fetcher = _Stock(person, self._gun)
        self._url = f"http://{self._gun.host}/v2/{gun}/_trust/metadata/"
        self._root = next(self._fetcher._fetch(f"{self._url}1.root.json"))

    def digest(self, tag: str) -> str | None:
        updater = Updater(str(self._folder), self._url, fetcher=self._fetcher, bootstrap=self._root)
        self._fetcher.asked.clear()
        found = updater.get_targetinfo(tag)
        return f"sha256:{found.hashes['sha256']}" if found else None

    @property
    def asked(self) -> list[str]:
        return self._fetcher.asked


@pytest.fixture(scope="module")
def grown(service: RunningService, alice: Person) -> tuple[Own, dict[str, str]]:
    """A collection of five tags in bins; their digests."""
    own = Own(service, alice, "bins/grown")
    alice.push(f"{own.gun}:base")
    digests = own.images("base", 8)
    done = alice("sign", *(f"{own.gun}:v{n}" for n in range(4)), environ=EARLY)
    assert done.status == 0, done.err
    assert "has grown" not in done.err
    return own, digests


def inspected(person: Person, gun: str) -> dict[str, object]:
    shown = person("inspect", gun, "--format", "json")
    assert shown.status == 0, shown.err
    found: dict[str, object] = json.loads(shown.out)[0]
    return found


def test_the_next_signature_puts_the_tags_into_bins(
    service: RunningService, alice: Person, bob: Person, grown: tuple[Own, dict[str, str]], tmp_path: Path
) -> None:
    own, digests = grown
    stock = Stock(alice, own.gun, tmp_path / "stock")
    assert stock.digest("v1") == digests["v1"]  # warm from before the switch
    done = alice("sign", f"{own.gun}:v4", environ=EARLY)
    assert done.status == 0, done.err
    assert "its tags are put into 1024 files" in done.err
    assert [stock.digest(f"v{n}") for n in range(6)] == [digests[f"v{n}"] for n in range(5)] + [None]
    before = inspected(alice, own.gun)
    done = alice("sign", f"{own.gun}:v5", environ=EARLY)
    assert done.status == 0, done.err
    assert "1024" not in done.err
    assert stock.digest("v5") == digests["v5"]
    assert sum("bins-1-" in name for name in stock.asked) == 1
    after = inspected(alice, own.gun)
    assert {role for role, version in after["Versions"].items() if before["Versions"].get(role) != version} == {
        "snapshot",
        "timestamp",
        next(name.split(".")[1] for name in stock.asked if "bins-1-" in name),
    }
    verified = alice("verify", *(f"{own.gun}:v{n}" for n in range(7)))
    assert verified.status == 3
    assert verified.out.splitlines() == [f"{own.gun}:v{n}@{digests[f'v{n}']}" for n in range(6)]
    revoked = alice("revoke", f"{own.gun}:v5")
    assert revoked.status == 0, revoked.err
    assert stock.digest("v5") is None
    assert alice("verify", f"{own.gun}:v5").status == 3
