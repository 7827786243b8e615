"""Many references at once, from what people and builds write: a list of them, or a build's metadata.

Both read the whole text and tell everything that is wrong with it, so that it is mended in one go.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trustkit.core.names import Digest, Gun, ImageRef, Tag
from trustkit.core.strictjson import unique
from trustkit.errors import InvalidName, InvalidReference

MAX_LIST = 1024 * 1024
"""Bytes of a list of references."""
MAX_METADATA = 16 * 1024 * 1024
"""Bytes of a build's metadata, which may hold its whole provenance."""
MAX_REFS = 10_000
_UTF_16 = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
_COMMENT = re.compile(r"(?:^|\s)#.*")
_DIGEST, _NAME = "containerimage.digest", "image.name"
_DESCRIPTOR = "containerimage.descriptor"
_NO_NAME = "Name the image in the build, with --tag; a builder of several nodes writes no names, so sign by hand:"
_OF_AN_IMAGE = re.compile(r"(?:containerimage\.|image\.name\Z)")
_OF_A_BUILD = re.compile(rf"{_OF_AN_IMAGE.pattern}|buildx\.build\.(?:ref|provenance)")
"""A target of bake is named by letters, digits, ``_`` and ``-``; of the whole, bake writes warnings only."""
_OF_BUILDX = "buildx."


@dataclass(frozen=True, slots=True)
class RefList:
    """The references of a file in its order, and what is wrong with the rest of it."""

    refs: list[ImageRef] = field(default_factory=list)
    wrong: list[InvalidReference] = field(default_factory=list)


def read_list(data: bytes, source: str) -> RefList:
    """Reads a reference a line; ``#`` at a line's start or after a space begins a comment, empty lines don't count.

    Each has to name a tag.  A tag that stands twice with two digests is wrong, as is a list without any reference.

    Args:
        source: what to call the list in errors, which say ``SOURCE, line N``.
    """
    found, lines = RefList(), _lines(data, source)
    if isinstance(lines, InvalidReference):
        return RefList(wrong=[lines])
    seen: dict[tuple[Gun, Tag], tuple[int, Digest]] = {}
    for number, line in enumerate(lines, 1):
        text = _COMMENT.sub("", line).strip()
        if not text:
            continue
        try:
            ref = ImageRef.parse(text)
            name = ref.gun, ref.required_tag
            if ref.digest is not None:
                first, digest = seen.setdefault(name, (number, ref.digest))
                if digest != ref.digest:
                    raise InvalidReference(f"{ref.gun}:{ref.tag} stands in line {first} with another digest.")
            found.refs.append(ref)
        except InvalidReference as error:
            found.wrong.append(
                InvalidReference(f"{source}, line {number}: {error.message}", hint=error.hint, line=number)
            )
    return _counted(found, source)


def _lines(data: bytes, source: str) -> list[str] | InvalidReference:
    if len(data) > MAX_LIST:
        return InvalidReference(f"{source} has over {MAX_LIST} bytes.")
    try:
        return data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        hint = (
            "Save it as UTF-8; it looks like UTF-16." if data.startswith(_UTF_16) else "Is it a list of references?"
        )
        return InvalidReference(f"{source}, line {number}: not UTF-8.", hint=hint, line=number)


def read_metadata(data: bytes, source: str) -> RefList:
    """Reads what ``docker buildx build`` or ``docker buildx bake`` writes with ``--metadata-file``.

    A build gives an object with ``containerimage.digest`` and ``image.name``, its names parted by commas; bake gives
    such an object for each target.  Every name becomes a reference with exactly that digest.  A target of bake that
    made no image is passed over.

    Args:
        source: what to call the file in errors.
    """
    try:
        value = _parse(data, source)
    except InvalidReference as error:
        return RefList(wrong=[error])
    found = RefList()
    if any(_OF_A_BUILD.match(name) for name in value):
        _add_build(found, value, source)
    else:
        for name, target in value.items():
            where = f"{source}, target {name[:64]!r}"
            if name.startswith(_OF_BUILDX):
                continue
            if not isinstance(target, dict):
                found.wrong.append(InvalidReference(f"{where}: no object."))
            elif any(_OF_AN_IMAGE.match(member) for member in target):
                _add_build(found, target, where)
    return _counted(found, source)


def _parse(data: bytes, source: str) -> dict[str, Any]:
    if len(data) > MAX_METADATA:
        raise InvalidReference(f"{source} has over {MAX_METADATA} bytes.")
    try:
        value = json.loads(data, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise InvalidReference(f"{source} is not JSON, or has a member twice.") from error
    if not isinstance(value, dict):
        raise InvalidReference(f"{source} is not a JSON object.")
    return value


def _add_build(found: RefList, build: Mapping[str, Any], where: str) -> None:
    try:
        digest = _digest_of(build)
        names = build.get(_NAME)
        if not isinstance(names, str) or not names.strip():
            raise InvalidReference(f"no {_NAME}.", hint=f"{_NO_NAME} trustkit sign NAME:TAG@{digest}")
    except (InvalidReference, InvalidName) as error:
        found.wrong.append(InvalidReference(f"{where}: {error.message}", hint=error.hint))
        return
    for outcome in (_named(name.strip(), digest, where) for name in names.split(",")):
        if isinstance(outcome, ImageRef):
            found.refs.append(outcome)
        else:
            found.wrong.append(outcome)


def _digest_of(build: Mapping[str, Any]) -> Digest:
    text = build.get(_DIGEST)
    if not isinstance(text, str):
        raise InvalidReference(
            f"no {_DIGEST}.", hint="A build has one when it makes an image and pushes it (--push)."
        )
    digest = Digest.parse(text)
    described = build.get(_DESCRIPTOR)
    if isinstance(described, dict) and described.get("digest", text) != text:
        raise InvalidReference(f"{_DIGEST} and {_DESCRIPTOR} name two digests.")
    return digest


def _named(name: str, digest: Digest, where: str) -> ImageRef | InvalidReference:
    try:
        ref = ImageRef.parse(name)
    except InvalidReference as error:
        return InvalidReference(f"{where}: {error.message}", hint=error.hint)
    if ref.tag is None:
        hint = f"Name the tag in the build, or sign by hand: trustkit sign {ref.gun}:TAG@{digest}"
        return InvalidReference(f"{where}: {name} has no tag, and none is assumed.", hint=hint)
    if ref.digest not in (None, digest):
        return InvalidReference(f"{where}: {name} names another digest than {_DIGEST}.")
    return ImageRef(ref.gun, ref.tag, digest)


def _counted(found: RefList, source: str) -> RefList:
    if len(found.refs) > MAX_REFS:
        return RefList(wrong=[InvalidReference(f"{source} names over {MAX_REFS} references.")])
    if not found.refs and not found.wrong:
        found.wrong.append(InvalidReference(f"{source} names nothing to sign."))
    return found
