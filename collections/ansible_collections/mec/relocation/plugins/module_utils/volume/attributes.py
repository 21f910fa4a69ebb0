# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a file has beside its content: mode, owner, time, ACLs and other extended attributes."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .paths import by_descriptor

# Namespaces that `rsync --acls --xattrs` carries; an overlay's own marks mean nothing elsewhere.
_CARRIED = ("user.", "trusted.", "security.", "system.posix_acl_")
_OVERLAY = "trusted.overlay."


@dataclass(frozen=True)
class Attributes:
    """The attributes of one inode.

    Attributes:
        mode: its type and its permissions.
        mtime_ns: when its content changed last, since the epoch.
        xattrs: pairs of a name and a value, sorted.
    """

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: tuple[tuple[str, bytes], ...]

    @classmethod
    def of(cls, fd: int) -> Attributes:
        """The attributes of what is open; a handle will do."""
        status = os.fstat(fd)
        return cls(
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            tuple(sorted(_xattrs(fd))),
        )

    @classmethod
    def from_fields(cls, fields: Sequence[bytes]) -> Attributes:
        """The inverse of ``fields``; raises ValueError."""
        mode, uid, gid, mtime_ns = map(int, fields[:4])
        names = map(os.fsdecode, fields[4::2])
        return cls(mode, uid, gid, mtime_ns, tuple(zip(names, fields[5::2], strict=True)))

    def fields(self) -> Iterator[bytes]:
        """The attributes as byte strings."""
        for number in (self.mode, self.uid, self.gid, self.mtime_ns):
            yield b"%d" % number
        for name, value in self.xattrs:
            yield os.fsencode(name)
            yield value

    def put(self, fd: int) -> None:
        """Give them to what is open, and take away what else it has.

        The order matters: a new owner clears set-user-id bits and capabilities, a new mode changes
        an ACL, an ACL the mode. The time comes last.
        """
        path = by_descriptor(fd)
        now = os.fstat(fd)
        if (now.st_uid, now.st_gid) != (self.uid, self.gid):
            os.chown(path, self.uid, self.gid)
        present, wanted = dict(_xattrs(fd)), dict(self.xattrs)
        for name in present.keys() - wanted.keys():
            os.removexattr(path, name)
        if not stat.S_ISLNK(self.mode):
            os.chmod(path, stat.S_IMODE(self.mode))
        for name, value in wanted.items():
            if present.get(name) != value:
                os.setxattr(path, name, value)
        os.utime(path, ns=(now.st_atime_ns, self.mtime_ns))


def _xattrs(fd: int) -> Iterator[tuple[str, bytes]]:
    path = by_descriptor(fd)
    try:
        names = os.listxattr(path)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return
        raise
    for name in names:
        if name.startswith(_CARRIED) and not name.startswith(_OVERLAY):
            # It may be taken away while the app goes on.
            with contextlib.suppress(_Gone):
                yield name, _value(path, name)


class _Gone(Exception):
    """The attribute is not there any more."""


def _value(path: bytes, name: str) -> bytes:
    try:
        return os.getxattr(path, name)
    except OSError as error:
        if error.errno == errno.ENODATA:
            raise _Gone from None
        raise
