# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The container layer: layers upon a base give what the instance sees, whatever it did."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.image import layer as container_layer
from ansible_collections.mec.relocation.plugins.module_utils.image.layer import (
    difference,
    index,
    read,
    write,
)
from hypothesis import given, settings
from hypothesis import strategies as st

# An index made "later" trusts every time stamp; the kernel's own clock is what the files carry.
LATER_S = 1e12
Seen = dict[str, tuple[object, ...]]


def view(folder: Path) -> Seen:
    """What somebody sees of a tree."""
    seen: Seen = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        mode = stat.S_IMODE(status.st_mode)
        at = str(path.relative_to(folder))
        if path.is_symlink():
            seen[at] = ("link", os.readlink(path))
        elif path.is_dir():
            seen[at] = ("folder", mode)
        else:
            seen[at] = ("file", mode, path.read_bytes(), status.st_mtime_ns)
    return seen


def pack(what: container_layer.Difference) -> bytes:
    out = io.BytesIO()
    write(what, out)
    return out.getvalue()


def unpack(layer: bytes, folder: Path) -> None:
    """Put a layer upon a tree, as the OCI image specification says."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        members = archive.getmembers()
        for member in members:
            path = folder / member.name
            if path.name == ".wh..wh..opq":
                shutil.rmtree(path.parent)
                path.parent.mkdir()
            elif path.name.startswith(".wh."):
                remove(path.with_name(path.name.removeprefix(".wh.")))
        for member in members:
            path = folder / member.name
            if path.name.startswith(".wh."):
                continue
            if path.is_symlink() or (path.exists() and not (path.is_dir() and member.isdir())):
                remove(path)
            # Without a filter, which Debian 12's own Python does not know: the layer is ours.
            archive.extract(member, folder, numeric_owner=True)
            # tarfile knows no nanoseconds, and stamps a file for each of its names.
            if member.isreg() or member.islnk():
                seconds, _, fraction = member.pax_headers["mtime"].partition(".")
                stamp = int(seconds) * 10**9 + int(fraction)
                os.utime(path, ns=(stamp, stamp))
        for member in reversed([m for m in members if m.isdir()]):
            (folder / member.name).chmod(member.mode)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def whiteout(path: Path) -> None:
    """What overlayfs leaves in the place of a file of the base that was removed."""
    try:
        os.mknod(path, stat.S_IFCHR, 0)
    except PermissionError:
        pytest.skip("only root can make whiteouts")


@contextlib.contextmanager
def folders(*names: str) -> Iterator[list[Path]]:
    with tempfile.TemporaryDirectory() as place:
        made = [Path(place, name) for name in names]
        for folder in made:
            folder.mkdir()
        yield made


NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["write", "mkdir", "remove", "link", "hardlink", "rename", "mode"]),
        PATHS,
        PATHS,
        st.binary(max_size=4),
    ),
    max_size=12,
)


def operate(folder: Path, operations: list[tuple[str, str, str, bytes]]) -> None:
    """Do what an instance may do; what cannot be done here and now is left out."""
    for kind, first, second, content in operations:
        path, other = folder / first, folder / second
        with contextlib.suppress(OSError):
            if kind == "write":
                path.write_bytes(content)
            elif kind == "mkdir":
                path.mkdir(parents=True)
            elif kind == "remove":
                remove(path)
            elif kind == "link":
                path.symlink_to(second)
            elif kind == "hardlink":
                os.link(other, path)
            elif kind == "rename":
                path.rename(other)
            elif kind == "mode":
                path.chmod(0o700 + len(content))


@settings(deadline=None)
@given(OPERATIONS, OPERATIONS)
def test_a_first_layer_and_the_difference_give_what_is_there(
    before: list[tuple[str, str, str, bytes]], after: list[tuple[str, str, str, bytes]]
) -> None:
    with folders("instance", "copy") as (instance, copy):
        operate(instance, before)
        entries = read([str(instance)])
        unpack(pack(difference(entries, {})), copy)
        assert view(copy) == view(instance)

        known = index(entries, LATER_S)
        assert difference(read([str(instance)]), known).empty

        operate(instance, after)
        unpack(pack(difference(read([str(instance)]), known)), copy)
        assert view(copy) == view(instance)


def test_only_what_changed_is_sent_with_the_folders_that_it_lies_in() -> None:
    with folders("instance") as [instance]:
        for name in ("big", "deep/er/file", "other/file"):
            (instance / name).parent.mkdir(parents=True, exist_ok=True)
            (instance / name).write_bytes(b"x" * 1000)
        known = index(read([str(instance)]), LATER_S)
        (instance / "deep/er/file").write_bytes(b"y")
        what = difference(read([str(instance)]), known)
        assert [entry.path for entry in what.entries] == ["deep", "deep/er", "deep/er/file"]
        assert what.size_bytes == 1


def test_a_file_that_was_just_written_is_not_trusted_to_stay_as_it_is() -> None:
    with folders("instance") as [instance]:
        (instance / "file").write_bytes(b"one")
        status = (instance / "file").stat()
        known = index(read([str(instance)]), status.st_ctime + 0.01)
        assert [e.path for e in difference(read([str(instance)]), known).entries] == ["file"]
        known = index(read([str(instance)]), status.st_ctime + 1)
        assert difference(read([str(instance)]), known).empty


def test_the_same_content_gives_the_same_bytes() -> None:
    with folders("instance") as [instance]:
        (instance / "file").write_bytes(b"one")
        entries = read([str(instance)])
        assert pack(difference(entries, {})) == pack(difference(entries, {}))


def test_what_the_instance_removed_of_its_base_stays_removed() -> None:
    with folders("upper", "copy") as (upper, copy):
        for name in ("etc/gone", "etc/kept", "old/file"):
            (copy / name).parent.mkdir(exist_ok=True)
            (copy / name).write_bytes(b"base")
        (upper / "etc").mkdir()
        whiteout(upper / "etc/gone")
        whiteout(upper / "old")
        unpack(pack(difference(read([str(upper)]), {})), copy)
        assert set(view(copy)) == {"etc", "etc/kept"}


def test_a_folder_that_was_made_anew_hides_the_one_before() -> None:
    with folders("upper", "copy") as (upper, copy):
        (copy / "d").mkdir()
        (copy / "d/base").write_bytes(b"base")
        (upper / "d").mkdir()
        (upper / "d/new").write_bytes(b"new")
        os.setxattr(upper / "d", "user.overlay.opaque", b"y")
        entries = read([str(upper)])
        unpack(pack(difference(entries, {})), copy)
        assert set(view(copy)) == {"d", "d/new"}

        # What was opaque before hides nothing a second time: the earlier layer's files stay.
        known = index(entries, LATER_S)
        (upper / "d/newer").write_bytes(b"newer")
        what = difference(read([str(upper)]), known)
        assert what.opaque == frozenset()
        unpack(pack(what), copy)
        assert set(view(copy)) == {"d", "d/new", "d/newer"}


def test_a_folder_made_anew_brings_all_that_is_in_it_once_more() -> None:
    with folders("upper", "copy") as (upper, copy):
        (upper / "d/sub").mkdir(parents=True)
        (upper / "d/sub/file").write_bytes(b"one")
        entries = read([str(upper)])
        unpack(pack(difference(entries, {})), copy)
        known = index(entries, LATER_S)
        os.setxattr(upper / "d", "user.overlay.opaque", b"y")
        unpack(pack(difference(read([str(upper)]), known)), copy)
        assert view(copy) == view(upper)


def test_layers_of_earlier_relocations_become_one() -> None:
    with folders("upper", "lower", "copy") as (upper, lower, copy):
        for name in ("stays", "hidden", "folder/below", "becomes/file"):
            (lower / name).parent.mkdir(exist_ok=True)
            (lower / name).write_bytes(b"lower")
        for name in ("hidden", "folder/above"):
            (upper / name).parent.mkdir(exist_ok=True)
            (upper / name).write_bytes(b"upper")
        (upper / "becomes").write_bytes(b"a file now")
        unpack(pack(difference(read([str(upper), str(lower)]), {})), copy)
        seen = view(copy)
        assert set(seen) == {
            *("stays", "hidden", "folder", "folder/below", "folder/above", "becomes"),
        }
        assert seen["hidden"][2] == b"upper"


def test_a_folder_upon_a_file_hides_what_the_base_has_there() -> None:
    with folders("upper", "lower") as (upper, lower):
        (upper / "d").mkdir()
        (lower / "d").write_bytes(b"a file")
        [entry] = read([str(upper), str(lower)])
        assert entry.opaque


def test_names_attributes_and_links_are_kept() -> None:
    with folders("upper") as [upper]:
        odd = b"odd \xff name\n"
        Path(os.fsdecode(os.fsencode(upper) + b"/" + odd)).write_bytes(b"x")
        (upper / "attr").write_bytes(b"x")
        os.setxattr(upper / "attr", "user.mec", b"\xfe\x00")
        os.link(upper / "attr", upper / "second")
        os.mkfifo(upper / "fifo")
        with tarfile.open(
            fileobj=io.BytesIO(pack(difference(read([str(upper)]), {}))),
            encoding="utf-8",
            errors="surrogateescape",
        ) as archive:
            members = {member.name: member for member in archive}
        assert os.fsdecode(odd) in members
        assert members["attr"].pax_headers["SCHILY.xattr.user.mec"] == "\udcfe\0"
        assert members["second"].islnk() and members["second"].linkname == "attr"
        assert members["fifo"].isfifo()


def test_a_file_that_shrinks_while_it_is_read_does_not_break_the_layer() -> None:
    with folders("upper") as [upper]:
        (upper / "log").write_bytes(b"x" * 100)
        entries = read([str(upper)])
        (upper / "log").write_bytes(b"x")
        (upper / "z").write_bytes(b"after")
        with tarfile.open(fileobj=io.BytesIO(pack(difference(entries, {})))) as archive:
            assert archive.getmember("log").size == 100
