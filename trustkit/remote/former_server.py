"""Another server with Notary's API, from which collections come: nothing of it is believed before it is verified."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from trustkit.core.formats.docker.files import MAX_BYTES
from trustkit.core.names import Gun, Host
from trustkit.core.ports.remote import CollectionFiles, Pin
from trustkit.core.readings import Reader
from trustkit.errors import Garbage, InvalidName, NoCollection, NotFound, StateError, TrustkitError, WrongFormat
from trustkit.remote.auth import Session
from trustkit.remote.notary import HttpNotary, TrustServer
from trustkit.remote.notary_folder import files_of
from trustkit.remote.notary_source import NotarySource
from trustkit.remote.refusals import refusal
from trustkit.remote.updater import Fetch

PAGE = 1000
MOST_PAGES = 10_000
MAX_FEED = 4 * 1024 * 1024
_NAMES = "Name the collections: --gun GUN, or --gun-file FILE with one a line."


class FetchedServer:
    """Satisfies ``core.ports.migrating.FormerServer`` over whatever gives files by name.

    Args:
        name: what it is called in reports.
        source: verifies collections, into folders of their own: what is believed of this server isn't of another.
        guns: gives the names of all its collections.
    """

    def __init__(
        self, name: str, fetcher: Callable[[Gun], Fetch], source: NotarySource, guns: Callable[[], Sequence[Gun]]
    ) -> None:
        self._name = name
        self._fetcher = fetcher
        self._source = source
        self._guns = guns

    @property
    def name(self) -> str:
        """As ``FormerServer.name``."""
        return self._name

    def guns(self) -> Sequence[Gun]:
        """As ``FormerServer.guns``."""
        return self._guns()

    def root(self, gun: Gun, version: int | None = None) -> bytes | None:
        """As ``FormerServer.root``."""
        name = "root.json" if version is None else f"{version}.root.json"
        try:
            return self._fetcher(gun)(name, MAX_BYTES["root"])
        except (NotFound, NoCollection):
            return None

    def refresh(self, gun: Gun, pin: Pin, now: datetime) -> CollectionFiles:
        """As ``FormerServer.refresh``."""
        return self._source.refresh(gun, pin, now)

    def look(self, gun: Gun, pin: Pin) -> CollectionFiles:
        """As ``FormerServer.look``."""
        return self._source.look(gun, pin)

    def kept(self, gun: Gun, pin: Pin) -> Mapping[str, bytes]:
        """As ``FormerServer.kept``."""
        return self._source.kept(gun, pin) or {}


class ChangefeedGuns:
    """The collections of a server, as its changefeed names them.

    Args:
        session: the server's.
        skipped: is told names that no collection of ours can have.
    """

    def __init__(self, session: Session, server: TrustServer, skipped: Callable[[str], None]) -> None:
        self._session = session
        self._server = server
        self._skipped = skipped

    def __call__(self) -> Sequence[Gun]:
        """Those that were updated and not deleted since.

        Raises:
            LoginRequired, RoleMissing: only who may list everything is told; NotFound, Garbage: it has no changefeed.
            Other CouldNotCheck leaves.
        """
        there = dict[str, bool]()
        for record in self._records():
            there[record["GUN"]] = record["Category"] != "deletion"
        found = []
        for name in sorted(name for name, is_there in there.items() if is_there):
            try:
                found.append(Gun.parse(name))
            except InvalidName:
                self._skipped(name)
        return found

    def _records(self) -> Iterator[Mapping[str, str]]:
        last = ""
        for _ in range(MOST_PAGES):
            records = self._page(last)
            yield from records
            if len(records) < PAGE or records[-1]["ID"] == last:
                return
            last = records[-1]["ID"]
        raise Garbage(f"The changefeed of {self._server.host} doesn't end.", hint=_NAMES)

    def _page(self, last: str) -> list[Mapping[str, str]]:
        query = [("records", str(PAGE)), *([("change_id", last)] if last else [])]
        path = f"{self._server.prefix}/v2/_trust/changefeed"
        try:
            answer = self._session.request("GET", path, scope="registry:catalog:*", query=query, max_body=MAX_FEED)
            if answer.status != 200:
                raise refusal(answer, self._server.host, absent=True)
        except TrustkitError as error:
            error.message = f"{self._server.host} doesn't list its collections: {error.message}"
            error.hint = f"{_NAMES} {error.hint}".rstrip()
            raise
        return _records(answer.body, self._server.host)


def _records(body: bytes, host: Host) -> list[Mapping[str, str]]:
    try:
        listed: Any = json.loads(body)["records"] or []
        return [{name: str(record[name]) for name in ("ID", "GUN", "Category")} for record in listed]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Garbage(f"{host} answers with no changefeed.", hint=_NAMES) from error


class NotaryFiles:
    """Satisfies ``core.ports.migrating.ArrivalService``."""

    def __init__(self, notary: HttpNotary) -> None:
        self._notary = notary

    def file(self, gun: Gun, name: str) -> bytes | None:
        """As ``ArrivalService.file``; raises WrongFormat where the collection there is in format ``tuf``."""
        try:
            return self._notary.fetch(gun, name, MAX_BYTES["targets"])
        except NotFound:
            return None
        except NoCollection as error:
            if error.context.get("format") == "tuf":
                raise WrongFormat(
                    f"The service has {gun} in format tuf already.", hint="Nothing can come there.", format="tuf"
                ) from error
            return None


def seen_by_docker(trust_dir: Path, gun: Gun, reader: Reader) -> Mapping[str, bytes]:
    """What docker or notary has verified of a collection into its trust folder; nothing where that can't be read."""
    try:
        return files_of(trust_dir / "tuf" / str(gun) / "metadata", reader)
    except StateError:
        return {}
