"""Looking at a collection without believing it: verified in everything but expiry, into a folder that is thrown away.

What the home keeps is copied first, so that the root walk, the keys and every version are held against what was seen
here, exactly as in a refresh.  Only the clock is set before all expiries, and nothing that comes of it is kept: what
has expired, or is an older state frozen by somebody, never becomes this home's trusted state.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from trustkit.core.evaluate import BEFORE_ALL
from trustkit.core.formats.tuf1 import read
from trustkit.core.names import Gun
from trustkit.core.ports.remote import CollectionFiles, Pin
from trustkit.core.readings import Reader
from trustkit.errors import StateError
from trustkit.remote.source import UpdaterSource
from trustkit.remote.updater import Fetch

Folder = Callable[[Gun, Pin], AbstractContextManager[Path]]


class ScratchSource:
    """Collections over HTTP, verified in all but expiry; implements ``LookingSource``.

    Args:
        fetcher, folder, seen, reader: as for ``UpdaterSource``.
    """

    def __init__(
        self,
        *,
        fetcher: Callable[[Gun], Fetch],
        folder: Folder,
        seen: Callable[[Gun], bool],
        reader: Reader = read,
    ) -> None:
        self._source = UpdaterSource(
            fetcher=fetcher, folder=lambda gun, pin: scratch_copy(folder, gun, pin), seen=seen, reader=reader
        )

    def look(self, gun: Gun, pin: Pin) -> CollectionFiles:
        """As ``LookingSource.look``."""
        return self._source.refresh(gun, pin, BEFORE_ALL)


@contextmanager
def scratch_copy(folder: Folder, gun: Gun, pin: Pin) -> Iterator[Path]:
    """A copy of what the home keeps for a GUN and pin, thrown away after the block; raises StateError."""
    try:
        with TemporaryDirectory(prefix="trustkit-look-") as scratch:
            copy = Path(scratch) / "metadata"
            with folder(gun, pin) as kept:
                shutil.copytree(kept, copy, symlinks=True)
            try:
                yield copy
            except StateError as error:  # what is wrong with the copy is wrong with what it was made of
                error.hint = error.hint.replace(str(copy), str(kept))
                raise
    except OSError as error:
        raise StateError(f"No folder to look at {gun} in could be made: {error.strerror or error}.") from error
