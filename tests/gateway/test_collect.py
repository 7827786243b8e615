"""Garbage collection of the embedded registry: what goes, what stays, and what happens in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from trustkit.core.manifests import OCI_INDEX, OCI_MANIFEST
from trustkit.core.names import Digest, Repository, Tag
from trustkit.errors import NotFound, StateError
from trustkit.gateway.collect import Collected, Rules
from trustkit.gateway.index import Entry
from trustkit.gateway.layout import Layout, Layouts

APP = Repository("team/app")
DAY = 24 * 3600.0


@dataclass
class Images:
    """A layout with images that are old unless somebody asks for them."""

    root: Path
    digests: dict[str, Digest] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        return Layouts(self.root).of(APP)

    def blob(self, text: str) -> Digest:
        layout = self.layout
        digest = Digest.of(text.encode())
        with layout.upload(layout.start_upload()) as upload:
            upload.write(text.encode())
            layout.finish_upload(upload, digest)
        self.digests[text] = digest
        return digest

    def image(self, name: str, tag: str = "", *, subject: str = "", **more: object) -> Digest:
        layer = self.blob(f"layer of {name}")
        value = {"schemaVersion": 2, "layers": [{"digest": str(layer)}], **more}
        return self._put(name, json.dumps(value).encode(), OCI_MANIFEST, tag, subject)

    def index(self, name: str, tag: str, *children: str) -> Digest:
        value = {"schemaVersion": 2, "manifests": [{"digest": str(self.digests[child])} for child in children]}
        return self._put(name, json.dumps(value).encode(), OCI_INDEX, tag)

    def _put(self, name: str, data: bytes, media_type: str, tag: str, subject: str = "") -> Digest:
        digest = self.digests[name] = Digest.of(data)
        entry = Entry(digest, media_type, len(data), "", self.digests[subject] if subject else None)
        self.layout.put_manifest(data, entry, Tag(tag) if tag else None, [])
        return digest

    def age(self, *names: str) -> None:
        """Makes these, or everything, three days old."""
        chosen = [self.layout.blob(self.digests[name]) for name in names]
        for path in chosen or [*self.layout.blob(Digest.of(b"")).parent.iterdir(), *self.uploads.iterdir()]:
            os.utime(path, (time.time() - 3 * DAY,) * 2)

    @property
    def uploads(self) -> Path:
        return self.root / "team" / "app" / "_uploads"

    def collect(self, *in_use: str, untagged: bool = True, dry_run: bool = False) -> Collected:
        needed = [self.digests[name] for name in in_use]
        return self.layout.collect(Rules(needed, time.time() - DAY, untagged=untagged, dry_run=dry_run))

    def there(self) -> set[str]:
        return {name for name, digest in self.digests.items() if self.layout.size(digest) is not None}


@pytest.fixture
def images(root: Path) -> Images:
    return Images(root)


def test_what_has_a_tag_stays_with_all_below_it_and_its_referrers(images: Images) -> None:
    images.image("one")
    images.index("inner", "", "one")
    images.index("outer", "v1", "inner")
    images.image("sbom", subject="one")
    images.image("signature of the sbom", subject="sbom")
    images.image("garbage")
    images.image("sbom of garbage", subject="garbage")
    images.blob("nobody's")
    images.age()
    gone = {"garbage", "layer of garbage", "sbom of garbage", "layer of sbom of garbage", "nobody's"}
    before = images.there()
    would = images.collect(dry_run=True)
    assert images.there() == before
    done = images.collect()
    assert done == would
    assert before - images.there() == gone
    assert {str(d) for d in done.manifests} == {str(images.digests[n]) for n in ("garbage", "sbom of garbage")}
    assert set(images.layout.index().manifests) == {
        images.digests[n] for n in ("one", "inner", "outer", "sbom", "signature of the sbom")
    }
    assert images.collect() == Collected()


def test_what_is_in_use_stays_without_a_tag(images: Images) -> None:
    images.image("one")
    images.index("superseded", "", "one")
    images.image("sbom", subject="superseded")
    images.age()
    assert images.collect("superseded") == Collected()
    assert len(images.collect().manifests) == 3


def test_manifests_without_a_tag_stay_unless_they_are_asked_for(images: Images) -> None:
    images.image("one")
    images.blob("nobody's")
    images.age()
    done = images.collect(untagged=False)
    assert (done.manifests, done.blobs) == ((), (images.digests["nobody's"],))
    assert images.there() == {"one", "layer of one"}


def test_what_is_young_or_was_asked_for_stays(images: Images) -> None:
    images.image("old")
    images.blob("shared")
    images.age()
    images.image("new")
    images.layout.read(images.digests["old"])  # whoever signs it has read it
    images.layout.touch(images.digests["shared"])  # whoever pushes has looked whether it is there
    before = images.there()
    assert images.collect() == Collected()
    assert images.there() == before


def test_a_mounted_blob_is_not_garbage_before_its_manifest_comes(images: Images) -> None:
    digest = images.blob("shared")
    images.age()
    other = Layouts(images.root).of(Repository("team/other"))
    assert other.link(images.layout, digest)
    other.collect(Rules((), time.time() - DAY))
    assert other.size(digest) is not None


@pytest.mark.parametrize(
    "more",
    [
        {"Layers": [{"Digest": "{d}"}]},
        {"x": [{"y": {"{d}": 1}}]},
        {"manifests": None, "blobs": [{"digest": "{d}"}]},
        {"annotations": {"base": "{d}"}},
    ],
    ids=["case", "name", "blobs", "annotation"],
)
def test_whatever_a_manifest_could_mean_stays(images: Images, more: dict[str, object]) -> None:
    digest = images.blob("odd")
    images.image("one", "v1", **json.loads(json.dumps(more).replace("{d}", str(digest))))
    images.age()
    assert images.collect().blobs == ()


def test_what_other_tools_wrote_into_the_folder_stays(images: Images) -> None:
    images.image("one", "v1")
    foreign = images.blob("of another tool")
    path = images.layout.blob(foreign).parents[2] / "index.json"
    value = json.loads(path.read_bytes())
    value["manifests"].append({"digest": str(foreign), "size": "no number"})
    path.write_text(json.dumps(value))
    strange = images.layout.blob(foreign).with_name("not a digest")
    strange.write_bytes(b"?")
    images.age()
    assert images.collect() == Collected()
    assert strange.exists()


def test_uploads_in_progress_stay_and_forgotten_ones_go(images: Images) -> None:
    images.image("one", "v1")
    layout = images.layout
    forgotten = layout.start_upload()
    (images.uploads / "tmp-0").write_bytes(b"of a killed process")
    images.age()
    session = layout.start_upload()
    (images.uploads / forgotten).touch()
    images.age()
    os.utime(images.uploads / session)
    done = images.collect()
    assert done.uploads == 1
    assert (images.uploads / session).exists()
    assert not (images.uploads / forgotten).exists()


def test_an_index_that_cannot_be_read_is_left_alone(images: Images) -> None:
    images.image("one", "v1")
    images.age()
    (images.root / "team" / "app" / "_oci" / "index.json").write_text("{")
    with pytest.raises(StateError):
        images.collect()
    assert images.there() == {"one", "layer of one"}
    with pytest.raises(NotFound):
        Layouts(images.root).of(Repository("nothing")).collect(Rules((), time.time()))


COLLECTOR = """
import os, sys, time
from pathlib import Path
from tests.gateway.test_collect import APP
from trustkit.gateway.collect import Rules
from trustkit.gateway.layout import Layouts
layout = Layouts(Path(sys.argv[1])).of(APP)
print("begins", flush=True)
while True:
    layout.collect(Rules((), time.time() - 3600.0, untagged=True))
"""


def collector(root: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", COLLECTOR, str(root)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    return process


def test_a_killed_collection_leaves_what_is_needed(images: Images) -> None:
    images.image("one", "v1")
    for number in range(150):
        images.image(f"garbage {number}")
    images.age()
    process = collector(images.root)
    try:
        while len(images.there()) > 250:
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert {"one", "layer of one"} <= images.there()
    index = images.layout.index()
    assert all(images.layout.size(digest) is not None for digest in index.manifests)
    images.collect()
    assert images.there() == {"one", "layer of one"}


def test_no_push_that_was_acknowledged_loses_a_blob(images: Images) -> None:
    """A layer that is old garbage goes before its manifest comes, and then that is refused; or it stays."""
    images.image("first", "first")
    process, refused = collector(images.root), 0
    try:
        for number in range(60):
            layer = images.blob(f"layer of {number}")
            data = json.dumps({"layers": [{"digest": str(layer)}], "n": number}).encode()
            images.age(f"layer of {number}")
            entry = Entry(Digest.of(data), OCI_MANIFEST, len(data))
            images.digests[str(number)] = entry.digest
            try:
                images.layout.put_manifest(data, entry, Tag(f"t{number}"), [layer])
            except NotFound:
                refused += 1
                del images.digests[str(number)], images.digests[f"layer of {number}"]
    finally:
        process.kill()
        process.wait()
    tags = {str(tag) for tag in images.layout.index().tags} - {"first"}
    assert len(tags) == 60 - refused
    for tag in tags:
        assert {tag[1:], f"layer of {tag[1:]}"} <= images.there()
