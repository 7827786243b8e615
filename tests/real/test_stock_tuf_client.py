"""python-tuf's own client, as it is, reads what we publish: a collection is a plain TUF 1.0 repository."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from tests.real.parts import Stand

pytestmark = pytest.mark.real


class TokenFetcher(FetcherInterface):
    """The least that a client of ours needs: GET with a bearer token."""

    def __init__(self, token: str) -> None:
        self._pool = urllib3.PoolManager(headers={"authorization": f"Bearer {token}"}, timeout=60)

    def _fetch(self, url: str) -> Iterator[bytes]:
        answer = self._pool.request("GET", url, preload_content=False)
        if answer.status >= 400:
            raise DownloadHTTPError("refused", answer.status)
        return answer.stream(65536)


@dataclass(frozen=True)
class Collection:
    """One repository's collection, and a folder for whoever follows it."""

    gun: str
    folder: Path
    token: str

    @property
    def url(self) -> str:
        return f"http://{self.gun.partition('/')[0]}/v2/{self.gun}/_trust"

    def updater(self, token: str | None = None) -> Updater:
        """A client on the folder; a cold one is started with the collection's first root."""
        self.folder.mkdir(exist_ok=True)
        request = urllib.request.Request(
            f"{self.url}/metadata/1.root.json", headers={"authorization": f"Bearer {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            root = answer.read()
        return Updater(
            str(self.folder),
            f"{self.url}/metadata/",
            target_dir=str(self.folder),
            target_base_url=f"{self.url}/targets/",
            fetcher=TokenFetcher(self.token if token is None else token),
            bootstrap=root,
        )


@pytest.fixture(params=["embedded", "upstream"])
def place(request: pytest.FixtureRequest) -> Stand:
    stand: Stand = request.getfixturevalue(request.param)
    return stand


@pytest.fixture
def followed(place: Stand, tmp_path: Path) -> Collection:
    token = place.carol.token(place.host, "repository:tuf/app:pull")
    return Collection(f"{place.host}/tuf/app", tmp_path / "client", token)


def test_the_stock_updater_refreshes_and_downloads_the_target(place: Stand, followed: Collection) -> None:
    digest = place.alice.push(f"{followed.gun}:v1", "first", architectures=("amd64", "arm64"))
    assert place.alice("sign", f"{followed.gun}:v1").status == 0
    updater = followed.updater()
    updater.refresh()
    target = updater.get_targetinfo("v1")
    assert target is not None
    manifest = Path(updater.download_target(target)).read_bytes()
    assert f"sha256:{hashlib.sha256(manifest).hexdigest()}" == digest == f"sha256:{target.hashes['sha256']}"
    assert (target.length, json.loads(manifest)["schemaVersion"]) == (len(manifest), 2)
    assert updater.get_targetinfo("dev") is None

    moved = place.alice.push(f"{followed.gun}:v1", "second")
    dev = place.alice.push(f"{followed.gun}:dev", "another tag")
    assert place.alice("sign", f"{followed.gun}:v1", f"{followed.gun}:dev").status == 0
    warm = followed.updater()
    found = {tag: warm.get_targetinfo(tag) for tag in ("v1", "dev")}
    assert {tag: f"sha256:{info.hashes['sha256']}" for tag, info in found.items() if info} == {
        "v1": moved,
        "dev": dev,
    }

    assert place.alice("revoke", f"{followed.gun}:dev").status == 0
    assert followed.updater().get_targetinfo("dev") is None


def test_without_a_token_the_stock_updater_gets_nothing(place: Stand, followed: Collection) -> None:
    place.alice.push(f"{followed.gun}:v2", "one more")
    assert place.alice("sign", f"{followed.gun}:v2").status == 0
    with pytest.raises(DownloadHTTPError) as refused:
        followed.updater(token="none").refresh()
    assert refused.value.status_code == 401
