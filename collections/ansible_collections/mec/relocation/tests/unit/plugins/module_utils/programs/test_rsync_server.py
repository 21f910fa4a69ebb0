# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the restricted key for rsync lets through, and what it does not."""

from __future__ import annotations

import pytest
from ansible_collections.mec.relocation.plugins.module_utils.programs.rsync_server import arguments

FLAGS = "-lHogDtpAXrSe.iLsfxCIvu --log-format=%i --delete --stats -@-1 --numeric-ids"
ASKED = f"rsync --server {FLAGS} . {{}}"


def test_a_pass_over_an_app_goes_below_the_pv_root() -> None:
    argv = arguments(ASKED.format("videoapp/"), "/srv/mec/pv")
    assert argv[:2] == ["rsync", "--server"]
    assert argv[-2:] == [".", "/srv/mec/pv/videoapp/"]


@pytest.mark.parametrize("flags", ["-nlHogDtpAXrSe.", "-lHogDtpAXrcSe.", "-nlHogDtpAXrcSe."])
def test_a_dry_run_and_a_comparison_of_contents_are_passes_too(flags: str) -> None:
    assert arguments(ASKED.format("videoapp/").replace("-lHogDtpAXrSe.", flags), "/srv")


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
def test_all_else_is_refused(command: str) -> None:
    with pytest.raises(PermissionError):
        arguments(command, "/srv/mec/pv")
