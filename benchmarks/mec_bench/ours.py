# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""This project's own schemes: `playbooks/handoff.yml`, with apps of their own."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import yaml

from . import PROJECT
from .handoff import handoff
from .scheme import Moved, SchemeError
from .site import Place, Site, run
from .volume import begin, remove

_DECLARED = PROJECT / "inventories" / "local" / "group_vars" / "all" / "apps.yml"
_PV_ROOT = "/srv/mec/pv"


class Ours:
    """A handoff of this project.

    Args:
        start: standby or cold, as the app is declared.
        proactive: whether the handoff is announced, and so prepared, before it comes.
        apps: how many apps the handoff relocates.
    """

    moves_ue = True

    def __init__(self, site: Site, start: str, *, proactive: bool, apps: int) -> None:
        scenario = "proactive" if proactive else "reactive"
        self.name = f"{start}-{scenario}"
        self.title = f"ours, {start}, {'pro-active' if proactive else 're-active'}"
        self.app = f"bench-{self.name}"
        self.places = site.workers
        self.volume = f"{_PV_ROOT}/{self.app}"
        self._site = site
        self._start = start
        self._proactive = proactive
        self._names = [self.app, *(f"{self.app}-{number}" for number in range(2, apps + 1))]
        self._declarations = site.folder / f"{self.app}.json"
        self._serving = site.workers[0]

    def prepare(self) -> None:
        self.clean()
        first = self.places[0]
        if self._start == "cold":
            for name in self._names:
                begin(first, f"{_PV_ROOT}/{name}")
        apps = [_declaration(name, self._start) for name in self._names]
        # The image is in the repository: no other is built for it.
        self._declarations.write_text(json.dumps({"mec_apps": apps, "mec_images": []}))
        self._site.ue.run("mec-ue-attach", first.cell)
        # The UE is there: nothing is to be moved, and what serves nowhere is deployed.
        self._hand_off(first)
        self._serving = first

    def where(self) -> Place:
        return self._serving

    def inside(self, *command: str) -> list[str]:
        found = self._serving.run(
            "docker", "ps", "--quiet", "--filter", f"label=relocation.mec.app={self.app}"
        )
        return ["docker", "exec", found.strip(), *command]

    def ready(self) -> None:
        """Nothing: what is prepared is prepared within the measured time, by the announcement."""

    def move(self) -> Moved:
        target = self.places[1] if self._serving is self.places[0] else self.places[0]
        seen = len(self._records())
        phases: dict[str, float] = {}
        if self._proactive:
            began_s = time.monotonic()
            self._hand_off(target, ho_status="in_preparation")
            phases["announcement"] = time.monotonic() - began_s
        message_at_s = time.monotonic()
        self._hand_off(target, ho_status="in_execution")
        records = self._records()[seen:]
        if len(records) != len(self._names):
            raise SchemeError(f"{len(records)} of {len(self._names)} apps were relocated")
        for record in records:
            if record["outcome"] != "completed" or record["fallback"]:
                raise SchemeError(f"{record['outcome']}: {record['error'] or record['fallback']}")
        self._serving = target
        for phase in next(record for record in records if record["app"] == self.app)["phases"]:
            phases[phase["name"]] = phases.get(phase["name"], 0) + phase["duration_s"]
        return Moved([record["downtime_s"] for record in records], message_at_s, phases)

    def clean(self) -> None:
        for name in self._names:
            arguments = {"app": {"name": name}, "state": "absent", "purge": True}
            module = ("-m", "mec.relocation.app_instance", "-a", json.dumps(arguments))
            run(["ansible", "me_hosts", *module], cwd=PROJECT)
        for place in self.places:
            files = [f"/etc/haproxy/apps.d/{name}.cfg" for name in self._names]
            place.run("rm", "-f", *files)
            place.run("systemctl", "reload", "haproxy.service")
            for name in self._names:
                remove(place, f"{_PV_ROOT}/{name}")

    def _hand_off(self, target: Place, **message: str) -> None:
        handoff(
            self._site.ue.name,
            target.cell,
            # The harness watches with the same probe, for every scheme alike.
            handoff_probe="false",
            handoff_policy="proactive" if self._proactive else "reactive",
            handoff_results_dir=str(self._site.folder),
            run=self._folder.name,
            declarations=self._declarations,
            **message,
        )

    @property
    def _folder(self) -> Path:
        """Where the playbook keeps this scheme's records."""
        return self._site.folder / f"handoffs-{self.name}"

    def _records(self) -> list[dict[str, Any]]:
        file = self._folder / "relocations.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]


def _declaration(name: str, start: str) -> dict[str, Any]:
    """videoapp as the inventory declares it, under another name.

    Cold, it keeps its state on the volume, so that it serves wherever it is started.
    """
    declared: list[dict[str, Any]] = yaml.safe_load(_DECLARED.read_text())["mec_apps"]
    app = {**next(app for app in declared if app["name"] == "videoapp"), "name": name}
    if start == "cold":
        del app["ready"], app["activate"]
        app["start"] = start
        app["env"] = {**app["env"], "VIDEOAPP_STATE_DIR": app["volume"]}
    return app
