"""How the files of collections are sent, in both APIs, and which of them are at hand without asking the database."""

from __future__ import annotations

from datetime import UTC
from email.utils import format_datetime

from trustkit.authority.notary import notary_key
from trustkit.authority.reads import Reads, Served, file_key
from trustkit.core.notarypaths import NotaryFile
from trustkit.core.paths import Metadata, parse_v2
from trustkit.errors import TrustkitError
from trustkit.gateway.exchange import HeaderPairs
from trustkit.server.headers import IMMUTABLE, JSON, NO_CACHE
from trustkit.server.kinds import KINDS
from trustkit.server.packed import VARIES, packable
from trustkit.server.quickreads import Ready, ToSend


def to_send(route: Metadata | NotaryFile, served: Served) -> ToSend:
    """A file as the request for it is answered."""
    return ToSend(route.gun, KINDS[type(route)], served, [*_headers(route, served), ("etag", served.etag)])


def _headers(route: Metadata | NotaryFile, served: Served) -> HeaderPairs:
    if isinstance(route, Metadata):
        pairs = [JSON, NO_CACHE if route.version is None else IMMUTABLE]
        return [*pairs, VARIES] if packable(served.file) else pairs
    pairs = [JSON, IMMUTABLE if route.digest else NO_CACHE]  # versions begin anew where a collection does
    if (stored := served.file.stored) is not None:
        pairs.append(("last-modified", format_datetime(stored.astimezone(UTC), usegmt=True)))
    return pairs


def is_told_to_signers(route: NotaryFile, served: Served) -> bool:
    """Whether whoever may publish is told that the collection was converted, where readers are given this file.

    That is the newest root of what it was in format ``docker``, as their client would go on to sign; and the
    timestamp, which is asked for next: the root may have been read just before.  Once all of it is over, the
    timestamp is one that locks everybody out.
    """
    if not served.found.frozen or route.version is not None or route.digest:
        return False
    return route.role == "root" or (route.role == "timestamp" and served.found.until is not None)


def is_same_for_all(route: Metadata | NotaryFile, served: Served) -> bool:
    """Whether everybody who may read the file is given it, in one form."""
    if isinstance(route, Metadata):
        return not packable(served.file)
    return not is_told_to_signers(route, served)


def at_hand(reads: Reads) -> Ready:
    """What is answered to whoever may read a collection, by what is in memory."""

    def ready(target: bytes) -> ToSend | None:
        try:
            route = parse_v2(target)
        except TrustkitError:
            return None
        match route:
            case NotaryFile(gun, role, version, digest):
                served = reads.peek(notary_key(gun, role, version, digest))
            case Metadata(gun, role, version):
                served = reads.peek(file_key(gun, role, version))
            case _:
                return None
        return to_send(route, served) if served and is_same_for_all(route, served) else None

    return ready
