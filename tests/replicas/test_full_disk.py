"""A full disk: publishes are refused with the reason, nothing acknowledged is lost, and room is all it needs."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import Need
from tests.postgres import Postgres, binaries
from tests.replicas.fleet import Fleet, ask, eventually
from tests.replicas.test_faults import Publisher, at_work, founded, settled
from tests.service import RunningService

pytestmark = pytest.mark.real
MIB = 1024 * 1024


@contextmanager
def small_disk(folder: Path, mib: int, owner: tuple[int, int]) -> Iterator[None]:
    """A file system of its own on a folder."""
    uid, gid = owner
    options = f"size={mib}m,mode=700,uid={uid},gid={gid}"
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mount.returncode:
        pytest.skip(f"no file system can be mounted here: {mount.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """With a file in it that takes all the room there is."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (MIB, 4096):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def refused_by_full_disk(folder: Path, *publishers: Publisher) -> Iterator[None]:
    """With no room there, after a publish was refused for it."""
    before = sum(len(each.refused) for each in publishers)
    with filled(folder):
        eventually(lambda: sum(len(each.refused) for each in publishers) > before, 60.0)
        yield


class OnSmallDisk(Postgres):
    """A server whose data have little room; its log of changes needs more of it after each MiB."""

    INITDB = ("--wal-segsize=1",)
    MIB = 96

    @property
    def data(self) -> Path:
        return self._folder / "data"

    def _initialise(self) -> None:
        self.data.mkdir()
        status = self._folder.stat()
        self._disk = small_disk(self.data, self.MIB, (status.st_uid, status.st_gid))
        self._disk.__enter__()
        super()._initialise()

    def close(self) -> None:
        self.stop(signal.SIGQUIT)
        self._disk.__exit__(None, None, None)
        super().close()

    @property
    def ended(self) -> bool:
        """Whether the server has given up, as it does where the log of changes can't be written."""
        assert self._process is not None
        return self._process.poll() is not None


@pytest.mark.slow
def test_a_full_disk_of_the_database_refuses_publishes_and_loses_none(need: Need, tmp_path: Path) -> None:
    need("mount", "mount")
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    server = OnSmallDisk(programs, min_wal_size="2MB", max_wal_size="4MB", shared_buffers="8MB")
    fleet = Fleet(tmp_path, server)
    try:
        for _ in range(2):
            fleet.start()
        publishers = [Publisher(founded(fleet, f"full{number}")) for number in range(2)]
        path = f"/v2/{publishers[0].it.gun}/_trust/metadata/timestamp.json"
        token = publishers[0].it.carol.token(fleet.host, f"repository:{publishers[0].it.gun.repository}:pull")
        with at_work(*publishers) as three_more:
            for _ in range(2):
                three_more()
                with refused_by_full_disk(server.data, *publishers):
                    assert {ask(port, path, token)[0] for port in fleet.balancer.ports} <= {200, 503}
                if server.ended:
                    server.stop()
                    server.start()
                eventually(lambda: all(ask(port, "/readyz")[0] == 200 for port in fleet.balancer.ports), 30.0)
            three_more()
        said = {message for each in publishers for message in each.refused}
        assert all("database" in message for message in said), said
        for each in publishers:
            settled(fleet, each.it)
            assert each.published <= each.it.check().version - 1
        for replica in fleet.replicas:
            assert "Traceback" not in replica.log.read_text()
    finally:
        fleet.close()
        server.close()


@pytest.mark.slow
def test_a_full_disk_of_a_service_with_a_file_refuses_publishes_and_loses_none(need: Need, tmp_path: Path) -> None:
    need("mount", "mount")
    data = tmp_path / "service"
    data.mkdir(mode=0o700)
    with small_disk(data, 24, (os.geteuid(), os.getegid())), ExitStack() as stack:
        service = RunningService(tmp_path).start()
        stack.callback(service.stop)
        publisher = Publisher(founded(service, "full"))
        gun = publisher.it.gun
        token = publisher.it.carol.token(service.host, f"repository:{gun.repository}:pull")
        with at_work(publisher) as three_more:
            for _ in range(2):
                three_more()
                with refused_by_full_disk(data, publisher):
                    assert ask(service.port, f"/v2/{gun}/_trust/metadata/timestamp.json", token)[0] == 200
            three_more()
        assert all("disk is full" in message for message in publisher.refused), publisher.refused
        assert publisher.published <= publisher.it.check().version - 1
        assert "Traceback" not in service.log.read_text()
