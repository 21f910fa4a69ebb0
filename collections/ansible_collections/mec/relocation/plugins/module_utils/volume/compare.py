# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a volume has arrived: after a relocation, the target's is compared with the source's.

The source is fenced, so its volume does not change any more. It sends a manifest: what there is to
compare of every path. The target goes through its own volume in the same order, side by side with
that, while the app serves from it. What the app has changed there since its activation is no
difference, and the target's own clock alone tells what that is.
"""

from __future__ import annotations

import functools
import hashlib
import heapq
import itertools
import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from ..ground.errors import RelocationError
from ..wire.host import Target
from ..wire.steps import Verify
from .attributes import Attributes
from .delta import data_blocks
from .paths import (
    ABSENT,
    by_descriptor,
    check_path,
    closing,
    join,
    open_handle,
    opened_root,
    parent,
)
from .stream import Writer, pack

# What is compared of a path. A folder has no size of its own, and holes are zeros like others.
_ASPECTS = ("type", "mode", "owner", "time", "attributes", "hard links", "size", "content")
_SIZE = _ASPECTS.index("size")
_FOLDER = b"%o" % stat.S_IFDIR
# So many differences are named.
_NAMED = 10
# How much longer than the source the target may take to read its volume.
_PATIENCE_S, _SLOWER = 60.0, 10


@dataclass
class Comparison:
    """What the target found.

    Attributes:
        files: paths that should be there, of every kind.
        bytes: the content of the files among them.
        changed_since: paths that differ because the app has changed them since its activation.
        differing: paths that differ otherwise.
        differences: some of those, and in what they differ.
    """

    files: int = 0
    bytes: int = 0
    changed_since: int = 0
    differing: int = 0
    differences: list[str] = field(default_factory=list)


def verify(root: Path, target: Target, app: str) -> dict[str, Any]:
    """Have the target compare its volume with this one; what the relocation record says of it."""
    began_s = time.monotonic()
    try:
        write = functools.partial(write_manifest, root)
        reply = target.stream(Verify(app), write)
        patience_s = _PATIENCE_S + _SLOWER * (time.monotonic() - began_s)
        found = Comparison(**reply.result(patience_s))
    except (OSError, RelocationError) as error:
        return not_verified(str(error))
    return _record(found, None, time.monotonic() - began_s)


def not_verified(reason: str) -> dict[str, Any]:
    """What the record says where the volumes could not be compared."""
    return _record(Comparison(), reason, 0.0)


def _record(found: Comparison, error: str | None, duration_s: float) -> dict[str, Any]:
    return {
        "verified": error is None and found.differing == 0,
        **asdict(found),
        "error": error,
        "duration_s": round(duration_s, 6),
    }


def write_manifest(root: Path, out: IO[bytes]) -> None:
    """Write what there is to compare of a volume that nobody changes.

    Raises:
        OSError: the volume cannot be read, or `out` not be written; the stream says that it is
            incomplete, as far as it can.
    """
    writer = Writer(out)
    try:
        with opened_root(root) as root_fd:
            for item in _walk(root_fd):
                writer.write(item.path, *item.aspects)
        writer.close()
    except BaseException:
        writer.abort()
        raise


def compare(root: Path, manifest: Iterable[list[bytes]], since_ns: int) -> Comparison:
    """Compare a volume with a manifest.

    Args:
        root: the volume on the target; an app may be at work in it.
        manifest: the records of what `write_manifest` has written.
        since_ns: when the app began to change it, on the clock that stamps its files.

    Raises:
        RelocationError: the volume cannot be read, or the manifest is none.
    """
    try:
        with opened_root(root) as root_fd:
            comparer = _Comparer(root_fd, since_ns)
            comparer.run(map(_item, manifest))
    except (OSError, ValueError) as error:
        raise RelocationError(f"The volume {root} cannot be compared: {error}.") from error
    return comparer.found


class _Item(NamedTuple):
    """A path, and what there is to compare of it, in the order of `_ASPECTS`."""

    path: bytes
    aspects: tuple[bytes, ...]


def _item(record: list[bytes]) -> _Item:
    path, *aspects = record
    if len(aspects) != len(_ASPECTS):
        raise ValueError(f"{path!r} has no description")
    return _Item(check_path(path), tuple(aspects))


class _Comparer:
    """Compares one volume."""

    def __init__(self, root_fd: int, since_ns: int) -> None:
        self._root_fd = root_fd
        self._since_ns = since_ns
        # The last path that one side had alone, and was in no such folder itself.
        self._alone = b""
        self._alone_since = False
        self.found = Comparison()

    def run(self, manifest: Iterable[_Item]) -> None:
        """Go through both sides at once."""
        theirs = ((item.path, True, item) for item in manifest)
        ours = ((item.path, False, item) for item in _walk(self._root_fd))
        both = heapq.merge(theirs, ours, key=lambda each: each[0].split(b"/"))
        for path, sides in itertools.groupby(both, key=lambda each: each[0]):
            match list(sides):
                case [(_, True, there), (_, False, here)]:
                    self._count(there)
                    self._compare(there, here)
                case [(_, True, there)]:
                    self._count(there)
                    # Of what has gone, nothing but its folder can tell when.
                    self._note_alone(path, "is missing", parent(path))
                case _:
                    self._note_alone(path, "is not at the source", path)

    def _count(self, item: _Item) -> None:
        self.found.files += 1
        self.found.bytes += int(item.aspects[_SIZE] or 0)

    def _compare(self, there: _Item, here: _Item) -> None:
        pairs = zip(_ASPECTS, there.aspects, here.aspects, strict=True)
        differing = [aspect for aspect, theirs, ours in pairs if theirs != ours]
        if differing:
            self._note(here.path, f"another {', '.join(differing)}", self._changed(here.path))

    def _note_alone(self, path: bytes, what: str, witness: bytes) -> None:
        """Note what one side has alone; what lies in such a folder has come or gone with it."""
        if not (self._alone and path.startswith(self._alone + b"/")):
            self._alone, self._alone_since = path, self._changed(witness)
        self._note(path, what, self._alone_since)

    def _note(self, path: bytes, what: str, since: bool) -> None:
        if since:
            self.found.changed_since += 1
            return
        self.found.differing += 1
        if len(self.found.differences) < _NAMED:
            shown = path.decode(errors="backslashreplace") or "."
            self.found.differences.append(f"{shown}: {what}")

    def _changed(self, path: bytes) -> bool:
        """Whether the app has changed this since its activation; looked at after its content."""
        try:
            with closing(open_handle(self._root_fd, path)) as handle:
                return os.fstat(handle).st_ctime_ns >= self._since_ns
        except ABSENT:
            return True


def _walk(root_fd: int) -> Iterator[_Item]:
    """Everything in a volume: each folder before what is in it, names in their order."""
    first_names: dict[int, bytes] = {}
    waiting = [b""]
    while waiting:
        path = waiting.pop()
        try:
            with closing(open_handle(root_fd, path)) as handle:
                aspects = _aspects(path, handle, first_names)
                names = os.listdir(by_descriptor(handle)) if aspects[0] == _FOLDER else []
        except ABSENT:
            # The app has removed it since its name was read.
            continue
        yield _Item(path, aspects)
        waiting += [join(path, name) for name in sorted(names, reverse=True)]


def _aspects(path: bytes, handle: int, first_names: dict[int, bytes]) -> tuple[bytes, ...]:
    attributes, status = Attributes.of(handle), os.fstat(handle)
    kind = stat.S_IFMT(status.st_mode)
    first, size, content = path, b"", b""
    if kind != stat.S_IFDIR and status.st_nlink > 1:
        first = first_names.setdefault(status.st_ino, path)
    if first != path:
        pass
    elif kind == stat.S_IFREG:
        size, content = b"%d" % status.st_size, _digest(handle, status.st_size)
    elif kind == stat.S_IFLNK:
        content = os.readlink(b"", dir_fd=handle)
    elif kind != stat.S_IFDIR:
        content = b"%d" % status.st_rdev
    return (
        b"%o" % kind,
        b"%o" % stat.S_IMODE(attributes.mode),
        b"%d:%d" % (attributes.uid, attributes.gid),
        b"%d" % attributes.mtime_ns,
        pack(part for name, value in attributes.xattrs for part in (os.fsencode(name), value)),
        first,
        size,
        content,
    )


def _digest(handle: int, size_bytes: int) -> bytes:
    digest = hashlib.sha256()
    with closing(os.open(by_descriptor(handle), os.O_RDONLY | os.O_CLOEXEC)) as content:
        for number, block in data_blocks(content, size_bytes):
            digest.update(b"%d " % number + block)
    return digest.digest()
