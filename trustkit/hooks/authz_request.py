"""What Docker's engine shows of a request that it is asked for: read as the engine reads it, or not at all.

Where a reader and the engine could differ, whoever writes requests by hand would choose what is judged and what is
done.  So whatever is ambiguous raises: two members of one name, a path that isn't plain, a body that isn't shown.
Facts: moby ``pkg/authorization/authz.go`` (what is shown), ``api/server/httputils`` and Go's ``net/http``.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from trustkit.errors import UsageError

READING = frozenset({"GET", "HEAD", "OPTIONS"})
_VERSION = re.compile(r"/v([0-9]{1,3})\.([0-9]{1,3})(?=/)")
_OLDEST = (1, 24)
"""Before this version of the API a body at ``start`` changed the container; engines of 2024 and newer refuse it."""
_ESCAPES = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*\Z", re.DOTALL)
_PLAIN = re.compile(r"[\x21-\x7e]+\Z")


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """A request as the engine shows it.

    Attributes:
        uri: as it stood in the request line.
        headers: by lower-case names; of a header that was there twice, the engine shows only the last.
        body: empty where it isn't shown: too long, in chunks, or not ``application/json`` by the first Content-Type.
    """

    method: str
    uri: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def parse(cls, data: bytes) -> EngineRequest:
        """Reads the body of ``/AuthZPlugin.AuthZReq``.

        Raises:
            UsageError: it isn't one.
        """
        try:
            value = json.loads(data)
            method, uri, headers = value["RequestMethod"], value["RequestUri"], value.get("RequestHeaders") or {}
            body = base64.b64decode(value.get("RequestBody") or "", validate=True)
            named = {str(name).lower(): str(text) for name, text in headers.items()}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, binascii.Error) as error:
            raise UsageError("Docker's engine has sent something that is no request.") from error
        if not isinstance(method, str) or not isinstance(uri, str):
            raise UsageError("Docker's engine has sent something that is no request.")
        return cls(method, uri, named, body)

    @property
    def reading(self) -> bool:
        """Whether it changes nothing: the engine matches methods exactly."""
        return self.method in READING

    def path(self) -> str:
        """The path as the engine's router sees it: decoded, without the API's version, without the first slash.

        Raises:
            UsageError: another form of URI, or a path that the router would first clean.
        """
        raw = self.uri.partition("?")[0]
        if not raw.startswith("/") or "#" in self.uri:
            raise UsageError("The request's URI is not a plain path.")
        path = _decoded(raw)
        if any(part in ("", ".", "..") for part in path[1:].split("/")):
            raise UsageError(f"The path {path[:200]} is not a plain one.")
        version = _VERSION.match(path)
        if version is None:
            return path[1:]
        if (int(version[1]), int(version[2])) < _OLDEST:
            raise UsageError(f"Version {version[1]}.{version[2]} of Docker's API is too old to be judged.")
        return path[version.end() + 1 :]

    def bodiless(self) -> None:
        """Raises UsageError where there may be a body: the engine reads a form in it before the query, unshown.

        What the headers say of its type is no help: the engine goes by the first Content-Type and shows the last.
        But Go drops Content-Length from a request in chunks, and takes no two that differ.
        """
        if self.headers.get("content-length", "") != "0":
            raise UsageError(
                "The request may have a body that the engine doesn't show.", hint="Send it with Content-Length: 0."
            )

    def query(self, *names: str) -> dict[str, str]:
        """The members of the query with these names, each there once; those that aren't there are empty.

        Raises:
            UsageError: twice the same, or a separator that only some engines know.
        """
        found = dict.fromkeys(names, "")
        seen: set[str] = set()
        text = self.uri.partition("?")[2]
        if ";" in text:
            raise UsageError("There is a ';' in the request's query.")
        for member in text.split("&"):
            name, _, value = member.partition("=")
            name = _decoded(name.replace("+", "%20"), empty=True)
            if name.casefold() not in {each.casefold() for each in names}:
                continue
            if name in seen or name not in found:
                raise UsageError(f"The request says {name[:100]} twice, or in a spelling of its own.")
            seen.add(name)
            found[name] = _decoded(value.replace("+", "%20"), empty=True)
        return found

    def members(self) -> Members:
        """The body, which has to be shown and to be one JSON object.

        Raises:
            UsageError: it isn't.
        """
        if not self.body:
            raise UsageError(
                "The engine doesn't show the request's body: it is empty, sent in chunks, longer than the engine "
                "shows to plugins (1 MiB), or not application/json."
            )
        try:
            found = json.loads(self.body.decode("utf-8"), object_pairs_hook=Members)
        except (ValueError, RecursionError) as error:
            raise UsageError("The request's body is not JSON.") from error
        if not isinstance(found, Members):
            raise UsageError("The request's body is not an object.")
        return found


class Members:
    """The members of a JSON object, found as Go finds them: whatever their letters' case."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        self._pairs = pairs

    def one(self, name: str) -> object:
        """The member of this name; None where there is none.

        Raises:
            UsageError: there are two, of which Go takes the last.
        """
        found = [value for key, value in self._pairs if key.casefold() == name.casefold()]
        if len(found) > 1:
            raise UsageError(f"The request's body says {name} twice.")
        return found[0] if found else None

    def object(self, name: str) -> Members:
        """The member of this name, which is an object, or null, or isn't there; raises UsageError."""
        found = self.one(name)
        if found is None:
            return Members([])
        if not isinstance(found, Members):
            raise UsageError(f"{name} in the request's body is not an object.")
        return found

    def objects(self, name: str) -> list[Members]:
        """The member of this name, which is a list of objects, or null, or isn't there; raises UsageError."""
        found = self.one(name)
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(each, Members) for each in found):
            raise UsageError(f"{name} in the request's body is not a list of objects.")
        return found


def _decoded(text: str, *, empty: bool = False) -> str:
    """Percent-decoded as Go does it, and printable ASCII afterwards: all names that are judged here are."""
    if not _ESCAPES.match(text):
        raise UsageError("There is a '%' in the request's URI that escapes nothing.")
    found = unquote_to_bytes(text).decode("latin-1")
    if not _PLAIN.match(found) and not (empty and not found):
        raise UsageError("There is a character in the request's URI that no name has.")
    return found
