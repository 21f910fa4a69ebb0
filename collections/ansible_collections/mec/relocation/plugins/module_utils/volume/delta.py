# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The changes of a volume as a stream, made on the source for the paths that a watch found.

A pass is ``build`` here and `apply` on the target. It can be made while the app serves, as
often as it pays, and a last time when it is frozen; each is given the signatures that the one
before gave:

    built = build(root, dirty, out, signatures)
    ...                               # the target has confirmed that it applied the stream
    signatures = built.signatures

Signatures are digests of the blocks of large files as the target has them. Of such a file only the
blocks that differ are sent. They hold as long as nothing else writes to the target's volume: after
a pass of rsync, begin with none.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

from .attributes import Attributes
from .paths import ABSENT, by_descriptor, closing, open_handle, opened_root, parent
from .stream import Writer, pack
from .watch import Dirty

BLOCK_BYTES = 64 * 1024
# Of files up to this size smaller blocks are compared: the size of a database's page.
_PAGED_BYTES = 1024 * 1024
PAGE_BYTES = 4 * 1024
# Files up to this size are sent whole.
SMALL_BYTES = 2 * PAGE_BYTES
_ZEROS = bytes(BLOCK_BYTES)
_DIGEST_BYTES = 16

Names = frozenset[bytes]


@dataclass(frozen=True)
class Signature:
    """A large file, as the target has it.

    Attributes:
        names: its hard links.
        block_bytes: the size of its blocks.
        blocks: the digest of each block that is not all zeros, by its number.
    """

    names: Names
    size_bytes: int
    mtime_ns: int
    block_bytes: int
    blocks: Mapping[int, bytes]


Signatures = Mapping[bytes, Signature]
NONE: Signatures = MappingProxyType({})


@dataclass(frozen=True)
class Built:
    """A stream that was written.

    Attributes:
        signatures: what holds once the target has applied it.
        items: how many paths it is about.
        size_bytes: of the stream.
    """

    signatures: Signatures
    items: int
    size_bytes: int


def build(root: Path, dirty: Dirty, out: IO[bytes], signatures: Signatures = NONE) -> Built:
    """Write a stream that makes the target's volume like this one, as far as paths are dirty.

    Like rsync's archive mode it takes every kind of file, sockets included.

    Args:
        root: the volume on the source. While the app goes on, what changes meanwhile is left to the
            next pass.
        dirty: what may differ.
        out: any file object, a pipe for example.
        signatures: of the pass before.

    Raises:
        OSError: the volume cannot be read, or `out` not be written; the stream says that it is
            incomplete, as far as it can.
    """
    writer = Writer(out)
    try:
        with opened_root(root) as root_fd:
            builder = _Builder(root_fd, writer, signatures)
            items = builder.run(dirty)
        writer.close()
    except BaseException:
        writer.abort()
        raise
    return Built(builder.signatures, items, writer.size_bytes)


class _Builder:
    """Writes one stream."""

    def __init__(self, root_fd: int, writer: Writer, signatures: Signatures) -> None:
        self._root_fd = root_fd
        self._writer = writer
        self.signatures = dict(signatures)
        self._names: dict[int, set[bytes]] = {}
        self._first: dict[int, bytes] = {}
        self._folders: set[bytes] = set()

    def run(self, dirty: Dirty) -> int:
        # The target's directories get another time when something in them is made anew.
        paths = dirty.paths | {parent(path) for path in dirty.paths}
        present = [path for path in sorted(paths) if self._is_present(path)]
        kept = self._folders - dirty.exact
        self.signatures = {
            path: signature
            for path, signature in self.signatures.items()
            if path in paths or paths.isdisjoint(_with_parents(path) - kept)
        }
        self._write_absent(sorted(paths.difference(present)))
        for path in present:
            # What went since is in the next pass.
            try:
                handle = open_handle(self._root_fd, path)
            except ABSENT:
                continue
            with closing(handle):
                self._write_item(path, handle, path in dirty.exact)
        return len(paths)

    def _is_present(self, path: bytes) -> bool:
        try:
            handle = open_handle(self._root_fd, path)
        except ABSENT:
            return False
        with closing(handle):
            status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            self._folders.add(path)
        elif status.st_nlink > 1:
            self._names.setdefault(status.st_ino, set()).add(path)
        return True

    def _write_absent(self, paths: list[bytes]) -> None:
        removed = None
        for path in paths:
            self.signatures.pop(path, None)
            # What lay in it goes with it.
            if removed is None or not path.startswith(removed + b"/"):
                self._writer.write(b"absent", path)
                removed = path

    def _write_item(self, path: bytes, handle: int, exact: bool) -> None:
        attributes = Attributes.of(handle)
        kind = stat.S_IFMT(attributes.mode)
        before = self.signatures.pop(path, None)
        if kind != stat.S_IFDIR and self._write_link(path, os.fstat(handle).st_ino):
            return
        if kind == stat.S_IFDIR:
            # A list of no names is a list nonetheless.
            names = b"=" + pack(os.listdir(by_descriptor(handle))) if exact else b""
            self._writer.write(b"folder", path, names, *attributes.fields())
        elif kind == stat.S_IFLNK:
            target = os.readlink(b"", dir_fd=handle)
            self._writer.write(b"symlink", path, target, *attributes.fields())
        elif kind == stat.S_IFREG:
            with closing(os.open(by_descriptor(handle), os.O_RDONLY | os.O_CLOEXEC)) as content:
                self._write_file(path, content, attributes, before)
        else:
            device = b"%d" % os.fstat(handle).st_rdev
            self._writer.write(b"special", path, device, *attributes.fields())

    def _write_link(self, path: bytes, inode: int) -> bool:
        if inode not in self._names:
            return False
        first = self._first.setdefault(inode, path)
        if first == path:
            return False
        self._writer.write(b"link", path, first)
        return True

    def _write_file(
        self, path: bytes, content: int, attributes: Attributes, before: Signature | None
    ) -> None:
        status = os.fstat(content)
        names = frozenset(self._names.get(status.st_ino, {path}))
        block_bytes = PAGE_BYTES if status.st_size <= _PAGED_BYTES else BLOCK_BYTES
        base, known = b"", {}
        # With other links it may be another inode on the target: then there is no base.
        if before and (before.names, before.block_bytes) == (names, block_bytes):
            base = pack([b"%d" % before.size_bytes, b"%d" % before.mtime_ns])
            known = dict(before.blocks)
        self._writer.write(b"file", path, base, *attributes.fields())
        large = status.st_size > SMALL_BYTES
        blocks: dict[int, bytes] = {}
        for number, block in data_blocks(content, status.st_size, block_bytes):
            if large or base:
                blocks[number] = hashlib.blake2b(block, digest_size=_DIGEST_BYTES).digest()
            if not base or known.pop(number, None) != blocks[number]:
                self._writer.write(b"data", b"%d" % (number * block_bytes), block)
        # What is left had content, and has none now.
        for number in known:
            length = min(block_bytes, status.st_size - number * block_bytes)
            if length > 0:
                self._writer.write(b"zeros", b"%d" % (number * block_bytes), b"%d" % length)
        self._writer.write(b"size", b"%d" % status.st_size)
        if large:
            self.signatures[path] = Signature(
                names, status.st_size, attributes.mtime_ns, block_bytes, blocks
            )


def _with_parents(path: bytes) -> set[bytes]:
    words = path.split(b"/")
    return {b"/".join(words[:count]) for count in range(1, len(words) + 1)}


def data_blocks(
    content: int, size_bytes: int, block_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[int, bytes]]:
    """The blocks of a file, with their numbers, that are not all zeros; holes are not read."""
    at = 0
    while (at := _next_data(content, at)) < size_bytes:
        at -= at % block_bytes
        block = os.pread(content, min(block_bytes, size_bytes - at), at)
        if block != _ZEROS[: len(block)]:
            yield at // block_bytes, block
        at += block_bytes


def _next_data(content: int, at: int) -> int:
    """Where the next data begins; very far away where there is none."""
    try:
        return os.lseek(content, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return sys.maxsize
        raise
