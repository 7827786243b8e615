"""podman for tests: a store of its own for each, and stock configuration unless a test gives another."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.real.parts import Tool
from tests.service import Person, Result

STORAGE = '[storage]\ndriver = "vfs"\ngraphroot = "{0}/root"\nrunroot = "{0}/run"\n'
ENGINE = '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n'


class Podman:
    """podman as a program, with everything it stores in one folder.

    Args:
        folder: of a short path: podman takes no runroot of more than 50 characters.
    """

    def __init__(self, program: Path, folder: Path) -> None:
        (folder / "storage.conf").write_text(STORAGE.format(folder))
        (folder / "containers.conf").write_text(ENGINE)
        self.environ = {
            "TMPDIR": str(folder),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "CONTAINERS_CONF": str(folder / "containers.conf"),
        }
        self.folder = folder
        self._program = program

    def __call__(self, who: Person, *arguments: str, **environ: str) -> Result:
        return Tool(self._program, {**self.environ, **environ})(who, *arguments)

    def pull(self, who: Person, reference: str, **environ: str) -> Result:
        auth = str(who.home / "docker" / "config.json")
        return self(who, "pull", "--quiet", "--tls-verify=false", "--authfile", auth, reference, **environ)

    def digest(self, who: Person, reference: str) -> str:
        done = self(who, "image", "inspect", reference)
        assert done.status == 0, done.err
        return str(json.loads(done.out)[0]["Digest"])

    def names(self, who: Person, reference: str) -> list[str]:
        """Every tag that the image has here."""
        done = self(who, "image", "inspect", reference)
        assert done.status == 0, done.err
        return list(json.loads(done.out)[0]["RepoTags"])


@contextmanager
def podman_in_short_folder(program: Path) -> Iterator[Podman]:
    """A podman whose storage is gone afterwards; pytest's own folders often have too long a path."""
    with tempfile.TemporaryDirectory(prefix="tk-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Podman(program, Path(folder))
