"""python-tuf's own client, as it is, over a simulated collection: what other TUF clients make of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from tests.simulator import NOW, Publisher


class _Memory(FetcherInterface):
    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.rpartition("/")[2].removesuffix(".json")
        version, _, role = name.partition(".")
        files, history = self._publisher.files, self._publisher.history
        data = files.get("timestamp") if name == "timestamp" else history.get((role, int(version)))
        if data is None:
            raise DownloadHTTPError(name, 404)
        return iter([data])


class StockClient:
    """A client that keeps its folder: it is warm from its second look on.

    Args:
        folder: where it keeps metadata; made if need be.
    """

    def __init__(self, publisher: Publisher, folder: Path) -> None:
        self._publisher = publisher
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._first = publisher.history["root", 1]

    def digests(self, tags: Iterable[str]) -> dict[str, str]:
        """By tag the SHA-256, in hex, that the client finds at one look; without the tags that it says aren't there.

        Raises:
            whatever python-tuf raises where it doesn't believe what is served.
        """
        updater = Updater(
            str(self._folder), "https://memory/", fetcher=_Memory(self._publisher), bootstrap=self._first
        )
        updater._trusted_set.reference_time = NOW
        found = {tag: updater.get_targetinfo(tag) for tag in tags}
        return {tag: target.hashes["sha256"] for tag, target in found.items() if target}
