# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The form in which a volume's changes travel, or its manifest: records in frames with digests.

A record is a list of byte strings. A frame is its length (4 bytes, big-endian), the record, and a
digest of all frames until there: nothing of a stream is acted upon before it has been found intact.
The last record is ``END``, or ``ABORTED`` where the source could not go on.

The records of a manifest are described in `compare`. Those of changes, by their first string;
a path is relative to the root, and an item is followed by its attributes:

    absent    path                      nothing has this path any more
    folder    path, names or "", ...    a directory; with "=" and names, no others are in it
    file      path, base, ...           a regular file: content records follow, then ``size``; made
                                        anew, or where there is a base, changed in place
    data      offset, bytes             content of a file; what no record covers is zeros, or as it
    zeros     offset, length            is in the base
    size      length                    ends the content
    link      path, first               another name of what has come as ``first``
    symlink   path, target, ...
    special   path, device number, ...  a device, FIFO or socket, as its mode says
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import IO

from ..ground.errors import RelocationError

MAGIC = b"mec volume delta 1\n"
END, ABORTED = b"end", b"aborted"

_LENGTH = struct.Struct(">I")
_DIGEST_BYTES = 16
# Far above any frame but the list of names of an enormous directory.
_MAX_FRAME_BYTES = 256 * 1024 * 1024
_BUFFER_BYTES = 256 * 1024


class DamagedStream(RelocationError):
    """The stream broke off or is not what was sent; what follows it cannot be read either."""


class Writer:
    """Writes records to any file object; ``close`` ends the stream, but not the file."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._digest = hashlib.blake2b(MAGIC, digest_size=_DIGEST_BYTES)
        self._buffer = bytearray(MAGIC)
        self.size_bytes = 0

    def write(self, *fields: bytes) -> None:
        """Write one record."""
        frame = pack(fields)
        self._digest.update(frame)
        self._buffer += _LENGTH.pack(len(frame)) + frame + self._digest.digest()
        if len(self._buffer) > _BUFFER_BYTES:
            self._flush()

    def close(self) -> None:
        """Write the end and flush the file."""
        self.write(END)
        self._flush()

    def abort(self) -> None:
        """Tell the reader that nothing more comes, as far as it can still be told."""
        with contextlib.suppress(OSError, ValueError):
            self.write(ABORTED)
            self._flush()

    def _flush(self) -> None:
        self.size_bytes += len(self._buffer)
        left = memoryview(bytes(self._buffer))
        self._buffer.clear()
        while left:
            # An unbuffered file may take less than it was given.
            left = left[self._out.write(left) :]
        self._out.flush()


class Reader:
    """Reads records from any file object, and not a byte beyond the end of the stream."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._digest = hashlib.blake2b(MAGIC, digest_size=_DIGEST_BYTES)
        self.size_bytes = 0
        self._ended = False
        self._damaged = False

    def __iter__(self) -> Iterator[list[bytes]]:
        """The records until the end.

        Raises:
            DamagedStream: one is not as it was sent, or is missing.
            RelocationError: the source gave up.
        """
        if self.size_bytes == 0 and self._exactly(len(MAGIC)) != MAGIC:
            raise self._damage("This is no stream of a volume.")
        while not self._ended:
            record = self._record()
            self._ended = record[:1] in ([END], [ABORTED])
            if record[:1] == [ABORTED]:
                raise RelocationError("The source gave up while it read the volume.")
            if not self._ended:
                yield record

    def drain(self) -> bool:
        """Read what is left; tells whether the file can be used for something else after it.

        Of a damaged stream nobody knows where it ends.
        """
        with contextlib.suppress(RelocationError):
            if not self._damaged:
                for _record in self:
                    pass
        return self._ended

    def _record(self) -> list[bytes]:
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        if length > _MAX_FRAME_BYTES:
            raise self._damage("The stream of the volume is damaged.")
        frame = self._exactly(length)
        self._digest.update(frame)
        if self._exactly(_DIGEST_BYTES) != self._digest.digest():
            raise self._damage("The stream of the volume is damaged.")
        try:
            return unpack(frame)
        except ValueError:
            raise self._damage("The stream of the volume has a record that is none.") from None

    def _damage(self, what: str) -> DamagedStream:
        self._damaged = True
        return DamagedStream(what)

    def _exactly(self, wanted: int) -> bytes:
        parts = []
        while wanted:
            part = self._stream.read(wanted)
            if not part:
                raise self._damage("The stream of the volume broke off.")
            self.size_bytes += len(part)
            wanted -= len(part)
            parts.append(part)
        return b"".join(parts)


def pack(fields: Iterable[bytes]) -> bytes:
    """Byte strings as one."""
    return b"".join(_LENGTH.pack(len(field)) + field for field in fields)


def unpack(packed: bytes) -> list[bytes]:
    """The inverse of ``pack``; raises ValueError."""
    fields, at = [], 0
    while at < len(packed):
        if at + _LENGTH.size > len(packed):
            raise ValueError("a length is cut off")
        (length,) = _LENGTH.unpack_from(packed, at)
        at += _LENGTH.size + length
        fields.append(packed[at - length : at])
    if at != len(packed):
        raise ValueError("a field is cut off")
    return fields
