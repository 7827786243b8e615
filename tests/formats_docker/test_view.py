"""What the gate makes of a collection in format docker, which signs no media types."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from tuf.api.metadata import TargetFile

from tests.formats_docker.forge import GUN, NOW, Forge
from trustkit.core import gating
from trustkit.core.formats.docker import files as docker_files
from trustkit.core.formats.docker.evaluate import evaluate
from trustkit.core.gating import Serve
from trustkit.core.manifests import OCI_INDEX, Descriptor
from trustkit.core.names import Digest, Tag
from trustkit.core.readings import Readings
from trustkit.errors import Garbage

INDEX = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CHILD = Digest.from_hex("cd" * 32)


def signed(**custom: object) -> Forge:
    made = Forge()
    entry = TargetFile(len(INDEX), {"sha256": Digest.of(INDEX).hex}, "v1", {"custom": custom} if custom else None)
    made.roles["targets"] = made.targets({"v1": entry})
    return made


def test_a_tag_is_served_whatever_its_type():
    view = evaluate(signed().files(), GUN, NOW)
    found = gating.by_tag(view, GUN.repository, Tag("v1"), actions=frozenset(), head=False, now=NOW)
    assert found == Serve(Digest.of(INDEX), None, len(INDEX))


def test_what_a_signed_digest_lists_is_served_where_it_is_an_index():
    view = evaluate(signed().files(), GUN, NOW)
    search = gating.by_digest(view, GUN.repository, CHILD, actions=frozenset(), now=NOW)
    assert next(search) == Digest.of(INDEX)  # it may be one
    child = Descriptor(MANIFEST, CHILD, 7)
    with pytest.raises(StopIteration) as done:
        search.send({CHILD: child})
    assert done.value.value == Serve(CHILD, MANIFEST, 7)


def test_what_trustkit_adds_to_a_tag_is_read():
    ours = {"media_type": OCI_INDEX, "superseded": [], "children": [str(CHILD)]}
    target = evaluate(signed(**{"x-trustkit": ours, "other": 1}).files(), GUN, NOW).targets[Tag("v1")]
    assert (target.media_type, target.children) == (OCI_INDEX, (CHILD,))
    assert evaluate(signed(other=1).files(), GUN, NOW).targets[Tag("v1")].media_type == ""
    for broken in ({}, [], None, {**ours, "media_type": 5}, {**ours, "media_type": MANIFEST}):
        with pytest.raises(Garbage):
            evaluate(signed(**{"x-trustkit": broken}).files(), GUN, NOW)


def test_files_that_are_met_twice_are_read_once():
    files, readings = signed().files(), Readings(docker_files.read)
    view = evaluate(files, GUN, NOW, reader=readings)
    assert len(readings) == 4
    assert evaluate(files, GUN, NOW, reader=readings) == view == evaluate(files, GUN, NOW)
    assert gating.distrust(view, GUN.repository, view.expires - timedelta(seconds=1)) is None
    assert gating.distrust(view, GUN.repository, view.expires) is not None
