# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opens what lies below a directory, and nothing that a symbolic link on the way leads to.

Paths are bytes, relative to a root, without ``.`` and ``..``; the root itself is ``b""``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

# What says that a path is not there: a file or a symbolic link in place of a folder does, too.
ABSENT = (FileNotFoundError, NotADirectoryError)
# For status and attributes alone: works for every kind of file, and follows nothing.
_HANDLE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def check_path(path: bytes) -> bytes:
    """The path, unless it could lead out of the root.

    Raises:
        ValueError: it is absolute, or has a component that is empty, ``.`` or ``..``.
    """
    if path and not {b"", b".", b".."}.isdisjoint(path.split(b"/")):
        raise ValueError(f"{path!r} is no path below a root")
    return path


def join(folder: bytes, name: bytes) -> bytes:
    """The path of a name in a folder."""
    return folder + b"/" + name if folder else name


def parent(path: bytes) -> bytes:
    """The folder that a path lies in; the root's is the root."""
    return path.rpartition(b"/")[0]


@contextlib.contextmanager
def opened_root(root: str | os.PathLike[str]) -> Iterator[int]:
    """A descriptor of the root; raises OSError where it is no directory."""
    with closing(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)) as fd:
        yield fd


@contextlib.contextmanager
def folder_of(root_fd: int, path: bytes) -> Iterator[tuple[int, bytes]]:
    """A handle of the folder that a path lies in, and its name there.

    Raises:
        FileNotFoundError, NotADirectoryError: that folder is not there (``ABSENT``).
    """
    *folders, name = path.split(b"/")
    fd = os.open(b".", _HANDLE | os.O_DIRECTORY, dir_fd=root_fd)
    try:
        for folder in folders:
            below = os.open(folder, _HANDLE | os.O_DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd, name or b"."
    finally:
        os.close(fd)


def open_handle(root_fd: int, path: bytes) -> int:
    """A handle of whatever has this path, for status and attributes."""
    with folder_of(root_fd, path) as (folder, name):
        return os.open(name, _HANDLE, dir_fd=folder)


def open_folder(root_fd: int, path: bytes) -> int:
    """A descriptor of a directory, to be listed or synced."""
    with folder_of(root_fd, path) as (folder, name):
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, dir_fd=folder)


@contextlib.contextmanager
def closing(fd: int) -> Iterator[int]:
    """The descriptor, closed afterwards."""
    try:
        yield fd
    finally:
        os.close(fd)


def by_descriptor(fd: int) -> bytes:
    """A path that leads to what a descriptor or handle is of, a symbolic link included."""
    return b"/proc/self/fd/%d" % fd
