# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the restricted key for rsync lets through, and what it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.ground.errors import RelocationError
from ansible_collections.mec.relocation.plugins.module_utils.host.lock import (
    AGENT,
    Lock,
)
from ansible_collections.mec.relocation.plugins.module_utils.host.owner import Note, State
from ansible_collections.mec.relocation.plugins.module_utils.host.passes import _alone
from ansible_collections.mec.relocation.plugins.module_utils.host.state import AppState
from ansible_collections.mec.relocation.plugins.module_utils.programs import rsync_server
from ansible_collections.mec.relocation.plugins.module_utils.programs.rsync_server import arguments

FLAGS = "-lHogDtpAXrSe.iLsfxCIvu --log-format=%i --delete --stats -@-1 --numeric-ids"
ASKED = f"rsync --server {FLAGS} . {{}}"


@pytest.fixture
def kept(tmp_path: Path) -> AppState:
    """An app that somebody relocates to this host."""
    made = AppState(tmp_path / "state", "videoapp")
    made.write(Note(State.PREPARED, handoff="h1"))
    return made


@pytest.fixture
def locked(kept: AppState) -> Iterator[None]:
    """An agent works on it."""
    with Lock(kept.folder, kept.name).held("h1", AGENT):
        yield


def begin(kept: AppState, flags: str = "-lHogDtpAXrSe.") -> list[str]:
    command = ASKED.format("videoapp/").replace("-lHogDtpAXrSe.", flags)
    return arguments(command, "/srv/mec/pv", str(kept.folder.parents[1]))


@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize("state", [State.PREPARED, State.TAKING])
def test_a_pass_over_an_app_goes_below_the_pv_root(kept: AppState, state: State) -> None:
    kept.write(kept.note()._replace(state=state))
    argv = begin(kept)
    assert argv[:2] == ["rsync", "--server"]
    assert argv[-2:] == [".", "/srv/mec/pv/videoapp/"]


@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize("flags", ["-nlHogDtpAXrSe.", "-lHogDtpAXrcSe.", "-nlHogDtpAXrcSe."])
def test_a_dry_run_and_a_comparison_of_contents_are_passes_too(kept: AppState, flags: str) -> None:
    assert begin(kept, flags)


@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize("flags", ["-lHogDtpAXrSe.", "-lHogDtpAXrcSe."])
@pytest.mark.parametrize("state", [State.ABSENT, State.SERVING, State.RELOCATING, State.RETIRED])
def test_no_pass_goes_over_what_the_note_does_not_leave_to_it(
    kept: AppState, state: State, flags: str
) -> None:
    kept.write(kept.note()._replace(state=state))
    with pytest.raises(RelocationError, match=f"'videoapp' is {state} here"):
        begin(kept, flags)


def test_no_pass_without_somebody_who_works_on_the_app(kept: AppState) -> None:
    with pytest.raises(RelocationError, match="nobody relocates app 'videoapp' to this host"):
        begin(kept)
    # What only tells is nobody's business.
    assert begin(kept, "-nlHogDtpAXrSe.")


@pytest.mark.usefixtures("locked")
def test_a_pass_has_the_lock_of_passes_and_a_dry_run_has_not(kept: AppState) -> None:
    begin(kept, "-nlHogDtpAXrSe.")
    assert not (kept.folder / "passes.lock").exists()
    begin(kept)
    file = os.open(kept.folder / "passes.lock", os.O_RDWR)
    assert not _alone(file)
    os.close(file)


@pytest.mark.usefixtures("locked")
def test_a_pass_is_refused_by_the_program_as_sshd_starts_it(kept: AppState) -> None:
    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", rsync_server.__name__, "/srv", str(kept.folder.parents[1])],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "SSH_ORIGINAL_COMMAND": ASKED.format("videoapp/"),
            },
            capture_output=True,
            text=True,
            check=False,
        )

    kept.write(Note(State.SERVING, taken=1, known=1))
    refused = start()
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "mec-relocation: app 'videoapp' is serving here\n"
    kept.write(Note(State.TAKING, attempt=2))
    activating = os.open(kept.folder / "passes.lock", os.O_RDWR | os.O_CREAT)
    assert _alone(activating)
    assert start().stderr == "mec-relocation: videoapp is being activated here.\n"
    os.close(activating)


@pytest.mark.parametrize(
    "command",
    [
        "",
        "sh",
        "rsync --version",
        ASKED.format("../../etc/"),
        ASKED.format("/etc/"),
        ASKED.format("videoapp/../other/"),
        ASKED.format("videoapp/ /etc/"),
        ASKED.format("videoapp/\n"),
        ASKED.format("$(reboot)/"),
        ASKED.format("videoapp/").replace("--server", "--server --sender"),
        ASKED.format("videoapp/").replace("--stats", "--log-file=/etc/passwd"),
        ASKED.format("videoapp/").replace("--stats", "--rsync-path=reboot"),
        "rsync --daemon",
    ],
)
@pytest.mark.usefixtures("locked")
def test_all_else_is_refused(kept: AppState, command: str) -> None:
    with pytest.raises(PermissionError):
        arguments(command, "/srv/mec/pv", str(kept.folder.parents[1]))
