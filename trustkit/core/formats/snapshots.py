"""The entries of a snapshot that say a version and no more, taken out of its bytes.

Of hash bins there are a thousand entries, and whoever verifies one tag reads them all: python-tuf takes, and gives
back, one after the other, in four times as long.
"""

from __future__ import annotations

import re

from tuf.api.metadata import MetaFile

_TYPE = b'"_type":"snapshot"'
_ENTRY = rb'"[a-z0-9][a-z0-9_-]*\.json":\{"version":[1-9][0-9]{0,9}\}'
_META = re.compile(rb'"meta":\{(' + _ENTRY + rb"(?:," + _ENTRY + rb")*)\}")
_PARTS = re.compile(rb'"([^"]+)":\{"version":([0-9]+)\}')


def without_versions(data: bytes) -> tuple[bytes, dict[str, MetaFile]] | None:
    """A snapshot's bytes with no entry in them, and the entries; None where they are spelled otherwise.

    The entries are in their one spelling: sorted, none of them twice.  Whether the bytes that are left are a
    snapshot, with ``meta`` in its place, is for whoever reads these: nothing else of ours has a member of that name.
    Equal versions are one object, as nobody changes what was read.
    """
    found = _META.search(data)
    if found is None or _TYPE not in data or _META.search(data, found.end()) is not None:
        return None
    entries = _PARTS.findall(found[1])
    names = [name for name, _ in entries]
    if any(map(bytes.__ge__, names, names[1:])):
        return None
    shared = {version: MetaFile(int(version)) for version in {version for _, version in entries}}
    meta = {name.decode("ascii"): shared[version] for name, version in entries}
    return data[: found.start(1)] + data[found.end(1) :], meta
