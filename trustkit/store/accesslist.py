"""A file's access control list, where the group's bits of its mode are the list's mask and say nothing of a group.

systemd gives a service its credentials so: root's files, and the service's user may read them.
"""

from __future__ import annotations

import os
import struct

_NAME = "system.posix_acl_access"
_VERSION = 2
_ENTRY = struct.Struct("<HHI")
_OWNER, _USER, _GROUP_OWNER, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
"""The kinds of entries (Linux, include/uapi/linux/posix_acl.h)."""


def for_us_alone(descriptor: int) -> bool:
    """Whether an open file has such a list, and it lets in nobody but root and this user."""
    try:
        data = os.getxattr(descriptor, _NAME)
    except OSError:  # it has none, or this file system knows none
        return False
    if len(data) < 4 or struct.unpack("<I", data[:4])[0] != _VERSION or (len(data) - 4) % _ENTRY.size:
        return False
    allowed = {0, os.geteuid()}
    if os.fstat(descriptor).st_uid not in allowed:
        return False
    for kind, rights, who in _ENTRY.iter_unpack(data[4:]):
        if rights and kind in (_GROUP_OWNER, _GROUP, _OTHER):
            return False
        if rights and kind == _USER and who not in allowed:
            return False
        if kind not in (_OWNER, _USER, _GROUP_OWNER, _GROUP, _MASK, _OTHER):
            return False
    return True
