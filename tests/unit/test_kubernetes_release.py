"""The role kubernetes_release, as it is applied: what it takes, and what it refuses.

Upstream is an HTTP server on loopback, with an archive of upstream's layout and small programs.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import os
import re
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
DEFAULTS = PROJECT / "roles" / "kubernetes_release" / "defaults" / "main.yml"
VERSION = "v1.19.3"
COMMANDS = ("kubeadm", "kubectl", "kubelet")
PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  roles: [kubernetes_release]
"""


@dataclass(frozen=True)
class Result:
    """How a playbook ended, and what it printed."""

    code: int
    output: str

    @property
    def changed(self) -> int:
        """How many tasks changed something."""
        found = re.search(r"localhost +: ok=\d+ +changed=(\d+)", self.output)
        assert found, self.output
        return int(found[1])

    @property
    def words(self) -> str:
        """What was printed, without the breaks of lines."""
        return " ".join(self.output.split())


class Controller:
    """A controller with a state folder and a cache of its own."""

    def __init__(self, folder: Path, upstream: str, checksum: str) -> None:
        self.folder = folder
        self.link = folder / "state" / "kubernetes" / "release"
        self.unpacked = folder / "cache" / f"{VERSION}-upstream"
        self._variables = {
            "mec_state_dir": str(folder / "state"),
            "kubernetes_release_cache": str(folder / "cache"),
            "kubernetes_release_source": "upstream",
            "kubernetes_release_version": VERSION,
            "kubernetes_release_upstream_url": upstream,
            "kubernetes_release_checksums": {VERSION: checksum},
        }
        (folder / "play.yml").write_text(PLAYBOOK, encoding="utf-8")

    def play(self, *arguments: str, **variables: Any) -> Result:
        """Apply the role, with these variables in place of the fixture's."""
        done = subprocess.run(
            [
                *("ansible-playbook", "--inventory", "localhost,", str(self.folder / "play.yml")),
                *("--extra-vars", json.dumps({**self._variables, **variables}), *arguments),
            ],
            cwd=PROJECT,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
                "no_proxy": "127.0.0.1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return Result(done.returncode, done.stdout + done.stderr)

    def refused(self, **variables: Any) -> str:
        """The words with which the role ends; nothing is linked."""
        result = self.play(**variables)
        assert result.code != 0, result.output
        assert not os.path.lexists(self.link)
        return result.words


def program(name: str) -> bytes:
    return f"#!/bin/sh\necho {name} {VERSION}\n".encode()


def archive() -> bytes:
    """What upstream's kubernetes-server-linux-amd64.tar.gz has, among other files."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as packed:
        for name in (*COMMANDS, "kube-apiserver"):
            entry = tarfile.TarInfo(f"kubernetes/server/bin/{name}")
            entry.size, entry.mode = len(program(name)), 0o755
            packed.addfile(entry, io.BytesIO(program(name)))
    return content.getvalue()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """No line for each request."""


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[Controller]:
    served = tmp_path / "upstream"
    packed = served / VERSION / "kubernetes-server-linux-amd64.tar.gz"
    packed.parent.mkdir(parents=True)
    packed.write_bytes(archive())
    handler = functools.partial(Quiet, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        checksum = hashlib.sha512(packed.read_bytes()).hexdigest()
        yield Controller(tmp_path, f"http://127.0.0.1:{server.server_port}", checksum)
        server.shutdown()


def release(folder: Path, files: Mapping[str, bytes] | None = None) -> Path:
    """A folder with a release, of which these files are others."""
    about = json.dumps({"version": VERSION, "image_repository": "registry.k8s.io"}).encode()
    made = {f"bin/{name}": program(name) for name in COMMANDS} | {"release.json": about}
    made |= files or {}
    for name, content in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    sums = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in made.items()]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
    return folder


def test_the_checksums_are_whole() -> None:
    checksums = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))["kubernetes_release_checksums"]
    assert set(checksums) == {"v1.19.3", "v1.19.16"}
    assert all(re.fullmatch("[0-9a-f]{128}", checksum) for checksum in checksums.values())
    assert len(set(checksums.values())) == len(checksums)


def test_upstreams_release_is_taken_once(controller: Controller) -> None:
    checked = controller.play("--check")
    assert checked.code == 0 and checked.changed > 0, checked.output
    assert not controller.unpacked.parent.exists() and not controller.link.parent.exists()

    first = controller.play()
    assert first.code == 0, first.output
    for name in COMMANDS:
        ran = subprocess.run([controller.link / "bin" / name], capture_output=True, check=True)
        assert ran.stdout.decode() == f"{name} {VERSION}\n"
    assert not (controller.link / "bin" / "kube-apiserver").exists()
    assert json.loads((controller.link / "release.json").read_bytes())["version"] == VERSION
    assert first.changed > 0

    second = controller.play()
    assert (second.code, second.changed) == (0, 0), second.output


def test_what_was_interrupted_is_taken_out_again(controller: Controller) -> None:
    assert controller.play().code == 0
    # As it is while the archive is unpacked: a file has begun, and there are no checksums.
    (controller.unpacked / "SHA256SUMS").unlink()
    (controller.unpacked / "bin" / "kubelet").write_bytes(b"#!/bin")
    assert controller.play().code == 0
    assert (controller.link / "bin" / "kubelet").read_bytes() == program("kubelet")


def test_an_archive_of_another_checksum_is_refused(controller: Controller) -> None:
    words = controller.refused(kubernetes_release_checksums={VERSION: "0" * 128})
    assert "checksum" in words
    assert not list(controller.folder.glob("cache/*.tar.gz"))


def test_a_version_without_a_checksum_is_refused(controller: Controller) -> None:
    words = controller.refused(kubernetes_release_version="v1.19.4")
    assert f"there is no checksum of v1.19.4, only of {VERSION}" in words
    assert "Add it to kubernetes_release_checksums" in words


def test_a_file_that_was_altered_is_refused(controller: Controller) -> None:
    assert controller.play().code == 0
    with (controller.unpacked / "bin" / "kubelet").open("ab") as kubelet:
        kubelet.write(b"echo more\n")
    controller.link.unlink()
    words = controller.refused()
    assert f"{controller.unpacked} is not as it was made" in words
    assert "bin/kubelet: FAILED" in words
    assert "kubeadm" not in words.split("is not as it was made")[1]


def test_a_folder_is_used_as_it_is(controller: Controller) -> None:
    folder = release(controller.folder / "given")
    given = {
        "kubernetes_release_source": "directory",
        "kubernetes_release_directory": str(folder),
    }
    first = controller.play(**given)
    assert first.code == 0, first.output
    assert controller.link.resolve() == folder
    assert controller.play(**given).changed == 0


def test_a_folder_without_checksums_is_refused(controller: Controller) -> None:
    folder = release(controller.folder / "given")
    (folder / "SHA256SUMS").unlink()
    words = controller.refused(
        kubernetes_release_source="directory", kubernetes_release_directory=str(folder)
    )
    assert f"kubernetes_release_directory: {folder} is no folder with a release" in words


def test_files_without_a_checksum_are_refused(controller: Controller) -> None:
    about = {"version": VERSION, "image_repository": "x", "archives": {"node": ["x/pause:3.2"]}}
    described = {"release.json": json.dumps(about).encode(), "images/node.tar": b"an archive"}
    folder = release(controller.folder / "given", described)
    sums = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "SHA256SUMS").write_text("".join(sums[:2]), encoding="utf-8")
    words = controller.refused(
        kubernetes_release_source="directory", kubernetes_release_directory=str(folder)
    )
    assert f"SHA256SUMS of {folder} has no checksum " in words
    assert "of bin/kubelet, images/node.tar, release.json. It is" in words


def test_an_altered_file_of_a_folder_is_refused(controller: Controller) -> None:
    folder = release(controller.folder / "given")
    (folder / "bin" / "kubeadm").write_bytes(b"#!/bin/sh\n")
    words = controller.refused(
        kubernetes_release_source="directory", kubernetes_release_directory=str(folder)
    )
    assert "bin/kubeadm: FAILED" in words
