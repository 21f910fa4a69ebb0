# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""On an ME host: pull an image onto a disk of its own, and take the power away from that disk.

    cd /usr/lib/mec-relocation && unshare --mount python3 - IMAGE < pull.py

An engine is started whose data lie on an ext4 in a file. The library pulls the image with it, and a
copy of the file has what such a disk has then; another is made after the library's `sync`. Prints
one JSON object: how many files there are, and how many of them each copy lacks or has otherwise.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mec_relocation.ground.config import HostConfig
from mec_relocation.host.me_host import MeHost

APP = "power"
# An engine that has no bridge at all removes docker0, which is the host's own engine's.
BRIDGE, ADDRESS = "power0", "192.0.2.1/24"


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


@contextlib.contextmanager
def mounted(image: Path) -> Iterator[Path]:
    folder = image.with_suffix("")
    folder.mkdir()
    run("mount", "-o", "loop", image, folder)
    try:
        yield folder
    finally:
        run("umount", folder)


@contextlib.contextmanager
def bridge() -> Iterator[None]:
    """A bridge that no container uses."""
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    try:
        run("ip", "address", "add", ADDRESS, "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
        yield
    finally:
        run("ip", "link", "delete", BRIDGE)


@contextlib.contextmanager
def engine(place: Path, data: Path) -> Iterator[None]:
    """An engine beside the host's own; it runs no containers."""
    address = f"unix://{place}/engine.sock"
    command = [
        *("dockerd", "--host", address, "--data-root", data, "--exec-root", place / "exec"),
        *("--pidfile", place / "engine.pid", "--containerd-namespace", "power"),
        *("--containerd-plugins-namespace", "power.plugins", "--config-file", place / "none.json"),
        *("--bridge", BRIDGE, "--iptables=false", "--ip-forward=false", "--ip-masq=false"),
    ]
    (place / "none.json").write_text("{}")
    with open(place / "engine.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for _try in range(300):
            if (place / "engine.sock").exists() or process.poll() is not None:
                break
            time.sleep(0.1)
        os.environ["DOCKER_HOST"] = address
        yield
    except BaseException:
        sys.stderr.write((place / "engine.log").read_text()[-3000:])
        raise
    finally:
        process.terminate()
        process.wait()


def files(data: Path) -> dict[str, bytes]:
    """What images consist of: their layers, and what the engine knows of them."""
    return {
        str(path.relative_to(data)): path.read_bytes()
        for folder in ("overlay2", "image")
        for path in (data / folder).rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def differing(copy: Path, wanted: dict[str, bytes]) -> int:
    with mounted(copy) as left:
        found = files(left)
    return sum(found.get(path) != content for path, content in wanted.items())


def main() -> None:
    # Not on a file system in memory.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        place = Path(folder)
        disk, before, after = (place / f"{name}.img" for name in ("disk", "before", "after"))
        run("truncate", "--size=1G", disk)
        run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", disk)
        with mounted(disk) as data, bridge(), engine(place, data):
            host = MeHost(HostConfig.load())
            host.pull(sys.argv[1])
            run("cp", "--sparse=always", disk, before)
            host.sync(APP)
            host.durable(APP)
            run("cp", "--sparse=always", disk, after)
            wanted = files(data)
        found = {"before": differing(before, wanted), "after": differing(after, wanted)}
    print(json.dumps({"files": len(wanted), **found}))


main()
