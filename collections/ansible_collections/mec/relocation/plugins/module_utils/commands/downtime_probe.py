# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watch a service from a UE."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..probe.probe import Settings
from ..probe.process import ProbeProcess, Stopped


def run(params: Mapping[str, Any], *, check: bool) -> dict[str, Any]:
    """Do what the state asks for.

    Raises:
        RelocationError: the settings do not make sense, or the probe cannot be run.
    """
    act = {"run": _run_here, "started": _start, "restarted": _start, "stopped": _stop}
    process = ProbeProcess(params["name"], Path(params["directory"]))
    return act[params["state"]](params, process, check)


def _run_here(params: Mapping[str, Any], process: ProbeProcess, check: bool) -> dict[str, Any]:
    """Probe within the task."""
    settings = _settings(params, "duration_s")
    if check:
        return {"changed": False, "samples": str(process.samples)}
    return {"changed": False, **_report(process, process.serve(settings))}


def _start(params: Mapping[str, Any], process: ProbeProcess, check: bool) -> dict[str, Any]:
    """Start a probe, unless one of the name runs; then it is ended first, or left alone."""
    settings = _settings(params, "max_duration_s")
    again = params["state"] == "restarted"
    if again and process.running and not check:
        process.stop()
    changed = again or not process.running
    run_id = None if changed else process.id
    if changed and not check:
        run_id = process.start(settings)
    return {
        "changed": changed,
        "id": run_id,
        "samples": str(process.samples),
        "diff": {
            "before": {"state": "stopped" if changed else "started"},
            "after": {"state": "started"},
        },
    }


def _stop(_params: Mapping[str, Any], process: ProbeProcess, check: bool) -> dict[str, Any]:
    """End the probe of the name, and tell what it found."""
    changed = process.running
    result = {
        "changed": changed,
        "samples": str(process.samples),
        "diff": {
            "before": {"state": "started" if changed else "stopped"},
            "after": {"state": "stopped"},
        },
    }
    stopped = None if changed and check else process.stop()
    return result if stopped is None else {**result, **_report(process, stopped)}


def _settings(params: Mapping[str, Any], duration: str) -> Settings:
    """The settings of a probe that lasts for the parameter `duration`."""
    settings = Settings(
        url=params["url"],
        interval_s=params["interval_s"],
        duration_s=params[duration],
        timeout_s=params["timeout_s"],
        ca_file=params["ca_file"],
    )
    settings.check()
    return settings


def _report(process: ProbeProcess, stopped: Stopped) -> dict[str, Any]:
    """What a probe that has ended returns."""
    found = {"id": stopped.id, "samples": str(process.samples), "summary": stopped.summary}
    return {**found, "ansible_facts": {"mec_relocation": {"downtime_probe": found}}}
