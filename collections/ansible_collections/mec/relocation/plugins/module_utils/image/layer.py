# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The container layer: what an instance has changed above its base image, as a layer of an image.

It is read from the folders in which the engine's overlay driver keeps it (Linux:
Documentation/filesystems/overlayfs.rst), so that it can be compared with what was sent before by
looking at the files' status alone, and only the difference need be sent. What comes out is a layer
as the OCI image specification has it (1.1, "Image Layer Filesystem Changeset").
"""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_OPAQUE_XATTRS = ("trusted.overlay.opaque", "user.overlay.opaque")
# What a layer carries of a file's extended attributes; the overlay's own stay behind.
_XATTRS = ("security.capability", "system.posix_acl_", "user.")
_OVERLAY = ("trusted.overlay.", "user.overlay.")
# A file that was changed this shortly before it was looked at may be changed again without another
# time stamp: it counts as changed the next time. Kernels stamp in steps of up to 10 ms.
_RACY_S = 0.1

Key = tuple[int, ...]
Index = Mapping[str, Key | None]


@dataclass(frozen=True)
class Entry:
    """One path of the layer.

    Attributes:
        path: relative to the root of the container.
        source: where it lies on this host.
        status: its status there.
        whiteout: it hides what the base image has at this path.
        opaque: a directory that hides all that the base image has below it.
    """

    path: str
    source: str
    status: os.stat_result
    whiteout: bool = False
    opaque: bool = False

    @property
    def key(self) -> Key:
        """What differs after any change of the entry."""
        found = self.status
        size = found.st_size if stat.S_ISREG(found.st_mode) else 0
        return (
            *(found.st_mode, found.st_uid, found.st_gid, size, found.st_mtime_ns),
            *(found.st_ctime_ns, found.st_ino, found.st_rdev, int(self.opaque)),
        )


def read(folders: Sequence[str]) -> list[Entry]:
    """The entries of a stack of overlay folders, the topmost first, merged; parents come first."""
    return list(_merged(list(folders), ""))


def index(entries: Iterable[Entry], now_s: float | None = None) -> dict[str, Key | None]:
    """What `difference` compares with later; None for what may change without being noticed."""
    recent_ns = int(((time.time() if now_s is None else now_s) - _RACY_S) * 1e9)
    return {
        entry.path: entry.key if entry.status.st_ctime_ns < recent_ns else None for entry in entries
    }


@dataclass(frozen=True)
class Difference:
    """What a layer has to contain to make an earlier state the present one.

    Attributes:
        entries: what is new or has changed, with the directories that it lies in.
        removed: paths that are gone; what lies below them goes with them.
        opaque: those of the entries that hide all that was below them before.
    """

    entries: tuple[Entry, ...]
    removed: tuple[str, ...]
    opaque: frozenset[str]

    @property
    def empty(self) -> bool:
        """Whether nothing has changed."""
        return not self.entries and not self.removed

    @property
    def size_bytes(self) -> int:
        """The size of the files in it, each hard link once."""
        files = {
            (entry.status.st_dev, entry.status.st_ino): entry.status.st_size
            for entry in self.entries
            if stat.S_ISREG(entry.status.st_mode)
        }
        return sum(files.values())


def difference(entries: Sequence[Entry], before: Index) -> Difference:
    """What has changed since `before` was made; all of it where `before` is empty."""
    chosen: set[str] = set()
    opaque: set[str] = set()
    # Directories of which all that lies below has to come again.
    covered: set[str] = set()
    for entry in entries:
        key = before.get(entry.path)
        if entry.opaque and (key is None or key[6] != entry.status.st_ino or not key[8]):
            opaque.add(entry.path)
            covered.add(entry.path)
        elif _parent(entry.path) in covered:
            covered.add(entry.path)
        if key != entry.key or entry.path in covered:
            chosen.add(entry.path)
    present = {entry.path for entry in entries}
    folders = {"", *(entry.path for entry in entries if stat.S_ISDIR(entry.status.st_mode))}
    # What lay in something that is gone, or is no directory any more, went with it.
    removed = sorted(path for path in before if path not in present and _parent(path) in folders)
    for path in [*chosen, *removed]:
        # A layer without its directories would bring them back with an owner of its own.
        while path := _parent(path):
            chosen.add(path)
    return Difference(
        entries=tuple(entry for entry in entries if entry.path in chosen),
        removed=tuple(removed),
        opaque=frozenset(opaque),
    )


@dataclass(frozen=True)
class LayerFile:
    """A layer that was written: digests of its content and of its compressed form."""

    diff_id: str
    digest: str
    size_bytes: int


def write(what: Difference, out: IO[bytes]) -> LayerFile:
    """Write the layer, compressed; the same content gives the same bytes.

    Raises:
        OSError: it cannot be written, or a file of the layer cannot be read.
    """
    compressed: Any = _Hashing(out)
    # Level 1: a link between edge hosts is faster than a better compression.
    with gzip.GzipFile(fileobj=compressed, mode="wb", compresslevel=1, mtime=0) as packed:
        content = _Hashing(packed)
        with _archive(content) as archive:
            _add_all(archive, what)
    return LayerFile(content.digest, compressed.digest, compressed.size_bytes)


def _merged(folders: list[str], path: str) -> Iterator[Entry]:
    """The entries below one directory, which may lie in several folders of the stack."""
    found: dict[str, list[tuple[str, os.stat_result]]] = {}
    hidden: set[str] = set()
    cut: set[str] = set()
    for folder in folders:
        for name in _names(folder):
            if name in hidden:
                continue
            source = os.path.join(folder, name)
            try:
                status = os.lstat(source)
            except FileNotFoundError:
                continue  # the instance goes on; the last pass finds it standing still
            if not stat.S_ISDIR(status.st_mode):
                hidden.add(name)
                if name in found:
                    # A directory on top of a file, or of a whiteout, hides what is below that.
                    cut.add(name)
                    continue
            elif _is_opaque(source):
                hidden.add(name)
                cut.add(name)
            found.setdefault(name, []).append((source, status))
    for name in sorted(found):
        source, status = found[name][0]
        at = f"{path}/{name}" if path else name
        if stat.S_ISDIR(status.st_mode):
            yield Entry(at, source, status, opaque=name in cut)
            yield from _merged([below for below, _status in found[name]], at)
        elif stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            yield Entry(at, source, status, whiteout=True)
        elif not stat.S_ISSOCK(status.st_mode):
            yield Entry(at, source, status)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _is_opaque(folder: str) -> bool:
    for name in _OPAQUE_XATTRS:
        try:
            if os.getxattr(folder, name, follow_symlinks=False) == b"y":
                return True
        except OSError:
            continue
    return False


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _add_all(archive: tarfile.TarFile, what: Difference) -> None:
    for path in what.removed:
        archive.addfile(_whiteout(path))
    linked: dict[tuple[int, int], str] = {}
    for entry in what.entries:
        if entry.whiteout:
            archive.addfile(_whiteout(entry.path))
            continue
        inode = entry.status.st_dev, entry.status.st_ino
        regular = stat.S_ISREG(entry.status.st_mode)
        member = _member(entry, linked.get(inode) if regular else None)
        if regular and not member.islnk():
            try:
                with open(entry.source, "rb") as content:
                    archive.addfile(member, _exactly(content, member.size))
            except FileNotFoundError:
                continue  # as above: the last pass finds it standing still
            linked[inode] = entry.path
        else:
            archive.addfile(member)
        if entry.path in what.opaque:
            archive.addfile(tarfile.TarInfo(f"{entry.path}/{_OPAQUE}"))


def _archive(out: Any) -> tarfile.TarFile:
    # Names are bytes to the kernel: whatever they are, they come out as they went in.
    return tarfile.open(
        fileobj=out,
        mode="w|",
        format=tarfile.PAX_FORMAT,
        encoding="utf-8",
        errors="surrogateescape",
    )


def _whiteout(path: str) -> tarfile.TarInfo:
    parent, _, name = path.rpartition("/")
    return tarfile.TarInfo(f"{parent}/{_WHITEOUT}{name}" if parent else f"{_WHITEOUT}{name}")


def _member(entry: Entry, first: str | None) -> tarfile.TarInfo:
    """The head of an entry; `first` is the path under which its content was added already."""
    status = entry.status
    member = tarfile.TarInfo(entry.path)
    member.mode = stat.S_IMODE(status.st_mode)
    member.uid, member.gid = status.st_uid, status.st_gid
    # Whole seconds in the head, and the rest beside it: a layer keeps time stamps exactly.
    member.mtime = status.st_mtime_ns // 10**9
    member.pax_headers = {"mtime": f"{member.mtime}.{status.st_mtime_ns % 10**9:09d}"}
    kinds = {
        stat.S_IFREG: tarfile.REGTYPE,
        stat.S_IFDIR: tarfile.DIRTYPE,
        stat.S_IFLNK: tarfile.SYMTYPE,
        stat.S_IFIFO: tarfile.FIFOTYPE,
        stat.S_IFCHR: tarfile.CHRTYPE,
        stat.S_IFBLK: tarfile.BLKTYPE,
    }
    member.type = kinds[stat.S_IFMT(status.st_mode)]
    if first is not None:
        member.type, member.linkname = tarfile.LNKTYPE, first
        return member
    if member.issym():
        member.linkname = os.readlink(entry.source)
    elif member.isreg():
        member.size = status.st_size
    elif member.ischr() or member.isblk():
        member.devmajor, member.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    for name, value in _xattrs(entry.source):
        member.pax_headers[f"SCHILY.xattr.{name}"] = value.decode("utf-8", "surrogateescape")
    return member


def _xattrs(source: str) -> Iterator[tuple[str, bytes]]:
    try:
        names = os.listxattr(source, follow_symlinks=False)
    except OSError:
        return
    for name in sorted(names):
        if name.startswith(_XATTRS) and not name.startswith(_OVERLAY):
            try:
                yield name, os.getxattr(source, name, follow_symlinks=False)
            except OSError:
                continue


def _exactly(content: IO[bytes], size_bytes: int) -> Any:
    return _Exactly(content, size_bytes)


class _Exactly:
    """A file as long as its head says, although it may be growing or shrinking meanwhile."""

    def __init__(self, content: IO[bytes], size_bytes: int) -> None:
        self._content = content
        self._left_bytes = size_bytes

    def read(self, size_bytes: int) -> bytes:
        wanted = min(size_bytes, self._left_bytes)
        chunk = self._content.read(wanted)
        self._left_bytes -= wanted
        return chunk.ljust(wanted, b"\0")


class _Hashing:
    """Passes on what is written, and keeps its digest and size."""

    def __init__(self, out: Any) -> None:
        self._out = out
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def write(self, chunk: bytes) -> int:
        self._hash.update(chunk)
        self.size_bytes += len(chunk)
        self._out.write(chunk)
        return len(chunk)

    def flush(self) -> None:
        self._out.flush()

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"
