"""The tags of a targets file as docker writes them, taken out of its bytes at once rather than one value at a time.

A file of a hundred tags takes a third of the time so, and most of a file is tags.  What isn't spelt in the one way
that docker has for a tag is left to the reader of everything.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from typing import NamedTuple

from tuf.api.metadata import TargetFile

from trustkit.core.formats.docker.payloads_in import TagFile

_BEGINS = b',"targets":{'
_TAG = re.compile(
    rb'"([A-Za-z0-9_][A-Za-z0-9._-]{0,127})":{"hashes":'
    rb'{"sha256":"([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)"},"length":(0|[1-9][0-9]{0,14})}([,}])'
)
"""Its name, which needs no escape and is a name of ``values.name``; 32 bytes and a length in their one spelling."""


class Taken(NamedTuple):
    """A file in two parts.

    Attributes:
        rest: the file, as it would be without tags.
        targets: the tags.
    """

    rest: bytes
    targets: dict[str, TargetFile]


def take(data: bytes) -> Taken | None:
    """Takes the tags out; None where there are none, or not all are written as docker does, in its order.

    Whoever calls reads ``rest`` as strictly as any file.  Where that is one, and says that there are no targets, then
    the one place with ``,"targets":{`` is where it says so: outside of its texts, since in a text a quote is escaped.
    """
    place = data.find(_BEGINS)
    at = begin = place + len(_BEGINS)
    if place < 0 or data.find(_BEGINS, begin) >= 0:
        return None
    targets: dict[str, TargetFile] = {}
    match, last = _TAG.match, b""
    while (found := match(data, at)) is not None:
        name, digest, length, ends = found.groups()
        if name <= last:
            return None  # another order, or one that stands twice
        last, at, path = name, found.end(), name.decode("ascii")
        targets[path] = TagFile(int(length), a2b_base64(digest).hex(), path)
        if ends == b"}":
            return Taken(data[:begin] + data[at - 1 :], targets)
    return None
