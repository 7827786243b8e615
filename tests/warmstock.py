"""python-tuf's own client, as it is, over a running service: it keeps its folder from one look to the next."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from tests.service import Person, RunningService


class _Http(FetcherInterface):
    def __init__(self, token: str, lies: Mapping[str, bytes]) -> None:
        self._token = token
        self._lies = lies

    def _fetch(self, url: str) -> Iterator[bytes]:
        if (lie := self._lies.get(url.rpartition("/")[2])) is not None:
            return iter([lie])
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self._token}"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return iter([answer.read()])
        except urllib.error.HTTPError as error:
            with error:
                raise DownloadHTTPError(url, error.code) from error


class WarmStock:
    """A stock client of one collection, which trusts the root that is served first when it is made.

    Args:
        person: whose login it uses.
        folder: where it keeps what it verified.

    Attributes:
        lies: files, by name, that somebody puts in the place of the served ones.
    """

    def __init__(self, service: RunningService, person: Person, gun: str, folder: Path) -> None:
        self._person = person
        self._repository = gun.partition("/")[2]
        self._url = f"{service.url}/v2/{gun}/_trust/metadata/"
        self._host = service.host
        self.folder = folder
        self.lies: Mapping[str, bytes] = {}
        folder.mkdir(parents=True)
        self._first = b"".join(self._fetcher().fetch(f"{self._url}1.root.json"))

    def _fetcher(self) -> _Http:
        return _Http(self._person.token(self._host, f"repository:{self._repository}:pull"), self.lies)

    def digest(self, tag: str) -> str | None:
        """What a look finds for a tag, ``sha256:...``; raises whatever python-tuf raises."""
        updater = Updater(str(self.folder), self._url, fetcher=self._fetcher(), bootstrap=self._first)
        found = updater.get_targetinfo(tag)
        return f"sha256:{found.hashes['sha256']}" if found else None

    def version(self, role: str) -> int:
        """The version of a role's file that the client keeps."""
        import json

        return int(json.loads((self.folder / f"{role}.json").read_bytes())["signed"]["version"])
