"""The layout under several processes and under SIGKILL."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trustkit.core.names import Digest, Repository, Tag
from trustkit.errors import Conflict, DigestMismatch, NotFound, StateError
from trustkit.gateway.index import Entry, Index
from trustkit.gateway.layout import Layout, Layouts

APP = Repository("team/app")
TYPE = "application/vnd.oci.image.manifest.v1+json"


def push(layout: Layout, number: int, prefix: str) -> None:
    data = json.dumps({"schemaVersion": 2, "layers": [], "n": f"{prefix}-{number}"}).encode()
    layout.put_manifest(data, Entry(Digest.of(data), TYPE, len(data)), Tag(f"{prefix}-{number}"), [])


def push_many(root: Path, prefix: str) -> None:
    layout = Layouts(root).of(APP)
    for number in range(15):
        push(layout, number, prefix)


def test_pushes_of_several_processes_are_all_there(root: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=push_many, args=(root, f"p{n}")) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    index = Layouts(root).of(APP).index()
    assert {str(tag) for tag in index.tags} == {f"p{n}-{i}" for n in range(4) for i in range(15)}


PUSHER = """
import sys
from pathlib import Path
from tests.gateway.test_layout_crash import APP, push
from trustkit.gateway.layout import Layouts
layout = Layouts(Path(sys.argv[1])).of(APP)
for number in range(100_000):
    push(layout, number, sys.argv[2])
    print(number, flush=True)
"""


def test_a_killed_process_loses_nothing_that_it_acknowledged(root: Path) -> None:
    acknowledged: set[str] = set()
    for turn in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", PUSHER, str(root), f"t{turn}"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdout is not None
        acknowledged.add(f"t{turn}-{process.stdout.readline().strip()}")
        time.sleep(0.02 + turn * 0.013)
        os.kill(process.pid, signal.SIGKILL)
        acknowledged |= {f"t{turn}-{line.strip()}" for line in process.stdout if line.endswith("\n")}
        process.wait()
        layout = Layouts(root).of(APP)
        index = layout.index()
        assert acknowledged <= {str(tag) for tag in index.tags}
        for digest in index.manifests:
            assert Digest.of(layout.read(digest) or b"") == digest
        push(layout, 0, f"after{turn}")


def test_half_an_index_is_never_seen_and_a_broken_one_is_said(root: Path) -> None:
    layout = Layouts(root).of(APP)
    push(layout, 1, "v")
    (root / "team/app/_oci/index.json").write_bytes(b'{"manifests":')
    with pytest.raises(StateError):
        layout.index()


def test_a_change_right_after_a_read_is_seen(root: Path) -> None:
    reader, writer = Layouts(root).of(APP), Layouts(root).of(APP)
    for number in range(30):
        push(writer, number % 2, "v")
        writer.delete_tag(Tag(f"v-{number % 2}"))
        assert reader.index().tags == {}
        push(writer, number % 2, "v")
        assert list(reader.index().tags) == [Tag(f"v-{number % 2}")]
        writer.delete_tag(Tag(f"v-{number % 2}"))


def test_one_turn_at_a_time(root: Path) -> None:
    layout = Layouts(root).of(APP)
    session = layout.start_upload()
    with layout.upload(session) as upload:
        upload.write(b"abc")
        with pytest.raises(Conflict):
            layout.upload(session)
    with layout.upload(session) as upload:
        assert upload.offset == 3


def test_an_upload_that_became_a_blob_is_not_written_to_any_more(root: Path) -> None:
    layout = Layouts(root).of(APP)
    session = layout.start_upload()
    with layout.upload(session) as upload:
        upload.write(b"abc")
        layout.finish_upload(upload, Digest.of(b"abc"))
        os.link(layout.blob(Digest.of(b"abc")), root / "kept")
    with pytest.raises(NotFound):
        layout.upload(session)
    assert layout.read(Digest.of(b"abc")) == b"abc"


def test_another_process_goes_on_and_the_whole_is_hashed(root: Path) -> None:
    first, second = Layouts(root).of(APP), Layouts(root).of(APP)
    session = first.start_upload()
    with first.upload(session) as upload:
        upload.write(b"abc")
    with second.upload(session) as upload:
        upload.write(b"def")
    with first.upload(session) as upload:
        first.finish_upload(upload, Digest.of(b"abcdef"))
    session = first.start_upload()
    with first.upload(session) as upload:
        upload.write(b"x")
        with pytest.raises(DigestMismatch):
            first.finish_upload(upload, Digest.of(b"y"))


def test_what_other_tools_wrote_into_the_index_stays() -> None:
    foreign = {"mediaType": TYPE, "digest": "sha512:00", "size": 1}
    named = {"mediaType": TYPE, "digest": str(Digest.of(b"")), "size": 0}
    named["annotations"] = {"org.opencontainers.image.ref.name": "docker.io/app:v1"}
    index = Index.parse(json.dumps({"schemaVersion": 2, "manifests": [foreign, named], "extra": 1}).encode())
    assert (index.tags, index.manifests) == ({}, {})
    after = json.loads(index.with_manifest(Entry(Digest.of(b"x"), TYPE, 1), Tag("v1")).serialise())
    assert after["manifests"][:2] == [foreign, named]
    assert after["extra"] == 1
