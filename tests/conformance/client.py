"""A TUF client for the public client conformance suite, over the same adapter that trustkit verifies with.

The contract is theupdateframework/tuf-conformance's: options before the sub-command, exit status 0 or 1, and no HTTP
request more or less than the workflow takes.  The collection check sits above the adapter, so roots that name no
collection pass here.

    client.py --metadata-dir D init ROOT.json
    client.py --metadata-url U --metadata-dir D refresh
    client.py --metadata-url U --metadata-dir D --target-name P --target-dir T --target-base-url B download
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import urllib3
from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater

from trustkit.remote.updater import open_updater

ANCHOR = "anchor/root.json"


class PlainFetcher(FetcherInterface):
    """Unauthenticated HTTP; only a 404 ends the walk over root versions."""

    def __init__(self) -> None:
        self._pool = urllib3.PoolManager(retries=False, timeout=10)

    def _fetch(self, url: str) -> Iterator[bytes]:
        answer = self._pool.request("GET", url, preload_content=False, redirect=False)
        if answer.status == 404:
            raise DownloadHTTPError("not found", 404)
        if answer.status != 200:
            raise DownloadError(f"status {answer.status}")
        return answer.stream(65536)


def updater(arguments: argparse.Namespace) -> Updater:
    folder = Path(arguments.metadata_dir)
    return open_updater(
        folder,
        PlainFetcher(),
        bootstrap=(folder / ANCHOR).read_bytes(),
        now=None,
        metadata_url=arguments.metadata_url,
        target_dir=arguments.target_dir,
        target_url=arguments.target_base_url,
    )


def init(arguments: argparse.Namespace) -> None:
    folder = Path(arguments.metadata_dir)
    data = Path(arguments.root).read_bytes()
    (folder / ANCHOR).parent.mkdir(parents=True, exist_ok=True)
    (folder / ANCHOR).write_bytes(data)
    open_updater(folder, PlainFetcher(), bootstrap=data, now=None)


def refresh(arguments: argparse.Namespace) -> None:
    updater(arguments).refresh()


def download(arguments: argparse.Namespace) -> None:
    client = updater(arguments)
    client.refresh()
    for name in arguments.target_name:
        info = client.get_targetinfo(name)
        if info is None:
            raise RepositoryError(f"no target {name}")
        if client.find_cached_target(info) is None:
            client.download_target(info)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--metadata-dir", required=True)
    parser.add_argument("--metadata-url")
    parser.add_argument("--target-name", action="append", default=[])
    parser.add_argument("--target-dir")
    parser.add_argument("--target-base-url")
    commands = parser.add_subparsers(required=True)
    first = commands.add_parser("init")
    first.add_argument("root")
    first.set_defaults(run=init)
    commands.add_parser("refresh").set_defaults(run=refresh)
    commands.add_parser("download").set_defaults(run=download)
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except (RepositoryError, DownloadError, OSError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
