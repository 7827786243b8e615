"""TRUSTKIT_HOME itself.  What only a publisher keeps there is loaded when it's asked for."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from trustkit.home.files import private_folder
from trustkit.home.metadata import MetadataFolders
from trustkit.home.pins import FilePinStore
from trustkit.home.tokens import FileTokenCache

if TYPE_CHECKING:
    from trustkit.home.backups import BackupTimes
    from trustkit.home.ceremonies import SignedRoots
    from trustkit.home.rotations import FileRotations


class Home:
    """The folders of one TRUSTKIT_HOME, made 0700 when first used.

    ``cache`` holds what can be fetched again; deleting it loses no trust decision.

    Args:
        path: absolute.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"Home({str(self.path)!r})"

    @cached_property
    def keys(self) -> Path:
        """Where key files lie."""
        return private_folder(private_folder(self.path) / "keys")

    @cached_property
    def cache(self) -> Path:
        """Where everything lies that can be fetched again."""
        return private_folder(private_folder(self.path) / "cache")

    @cached_property
    def pins(self) -> FilePinStore:
        """The pins."""
        return FilePinStore(private_folder(self.path) / "pins.json")

    @cached_property
    def backups(self) -> BackupTimes:
        """When each key was last backed up."""
        from trustkit.home.backups import BackupTimes

        return BackupTimes(private_folder(self.path) / "backups.json")

    @cached_property
    def rotations(self) -> FileRotations:
        """Rotations that were begun and not seen to end."""
        from trustkit.home.rotations import FileRotations

        return FileRotations(private_folder(self.path) / "rotations.json")

    @cached_property
    def signed_roots(self) -> SignedRoots:
        """What was signed here in root ceremonies."""
        from trustkit.home.ceremonies import SignedRoots

        return SignedRoots(private_folder(self.path) / "ceremonies.json")

    @cached_property
    def metadata(self) -> MetadataFolders:
        """The metadata folders of the TUF client."""
        return MetadataFolders(self.cache / "metadata")

    @cached_property
    def tokens(self) -> FileTokenCache:
        """Short-lived access tokens."""
        return FileTokenCache(self.cache / "tokens")
