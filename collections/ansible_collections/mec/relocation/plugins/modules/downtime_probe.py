#!/usr/bin/python
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: downtime_probe
short_description: Measure from a UE how long an app does not answer
version_added: 0.1.0
description:
  - Sends GET requests to an app at a fixed interval, whether or not the ones before were answered,
    and tells the longest time without a successful answer.
  - It only reads from the app. Every request is kept as a line of a CSV file.
author:
  - The mec.relocation authors (@mec-relocation)
options:
  state:
    description:
      - V(started) starts a probe that goes on after the task, until it is stopped or
        O(max_duration_s) is over. A probe of this O(name) that runs already is left alone.
      - V(restarted) ends a probe of this O(name) that runs, drops its samples, and starts one.
      - V(stopped) ends the probe of this O(name) and tells what it found. Where it has ended by
        itself, only that.
      - V(run) probes for O(duration_s) within the task.
    type: str
    choices: [run, started, restarted, stopped]
    default: run
  name:
    description:
      - Name of the probe. Starting a probe drops the samples of the last one of the same name.
    type: str
    default: default
  url:
    description:
      - What to request. The name in it is resolved once.
      - Required unless O(state=stopped).
    type: str
  interval_s:
    description: Time between the beginnings of two requests, in seconds.
    type: float
    default: 0.005
  duration_s:
    description: How long to probe with O(state=run), in seconds.
    type: float
    default: 10
  max_duration_s:
    description: When a started probe ends by itself, in seconds.
    type: float
    default: 120
  timeout_s:
    description: A request without a complete answer after this time has failed, in seconds.
    type: float
    default: 5
  ca_file:
    description:
      - The CA that the certificate of an C(https) URL must come from; the system's by default.
    type: path
  directory:
    description: Where probes keep their samples, in a folder for each name.
    type: path
    default: /var/lib/mec-probe
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status without modifying the target.
    support: full
    details:
      - No request is sent and no probe is started or ended, so there is no summary.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode).
    support: full
  idempotent:
    description:
      - When run twice in a row outside check mode, with the same arguments, the second invocation
        indicates no change.
    support: partial
    details:
      - Except with O(state=restarted), which always starts a probe.
"""

EXAMPLES = r"""
- name: Begin to watch the app
  mec.relocation.downtime_probe:
    state: started
    name: handoff
    url: https://videoapp.mec.test/healthz
    ca_file: /usr/local/share/ca-certificates/mec.crt

- name: See what the UE saw
  mec.relocation.downtime_probe:
    state: stopped
    name: handoff
  register: probe

- name: Probe for five seconds
  mec.relocation.downtime_probe:
    url: https://videoapp.mec.test/healthz
    duration_s: 5
"""

RETURN = r"""
id:
  description: Names one run of a probe; the same when it was started and when it was stopped.
  type: str
  returned: when there is a run, and O(state) is not V(run)
  sample: handoff-3f9a01c2
samples:
  description:
    - Path of the CSV file with every request, in the order in which they ended.
    - Its columns are C(seq), C(start_s), C(duration_s), C(status) (empty without a complete
      answer), C(error), C(instance) (the header C(X-MEC-Instance)) and C(retried) (1 where the
      request was sent again because a kept connection had been closed). Times are in seconds of a
      monotonic clock, from the beginning of the probe.
  type: str
  returned: success
  sample: /var/lib/mec-probe/handoff/samples.csv
summary:
  description: What the probe found.
  type: dict
  returned: when a probe has ended
  contains:
    interval_s:
      description: Time between the beginnings of two requests.
      type: float
    duration_s:
      description: How long the probe lasted.
      type: float
    requests:
      description: Requests that were sent.
      type: int
    failed:
      description: Requests without a complete answer of 2xx or 3xx.
      type: int
    skipped:
      description: Ticks without a request, because 512 requests were under way.
      type: int
    retried:
      description: Requests that were sent again on a new connection.
      type: int
    longest_gap_s:
      description:
        - The longest time between two consecutive successful answers, each taken when it was
          complete.
        - Where a request failed before the first success, also the time from the beginning of the
          probe to it; where one failed after the last success, the time from it to the end of the
          probe. The whole duration if there was no success.
      type: float
    slowest_s:
      description: The slowest successful request; none if there was none.
      type: float
    p50_s:
      description: The median duration of successful requests.
      type: float
    p99_s:
      description: The 99th percentile of the durations of successful requests.
      type: float
    latest_tick_s:
      description: How late the probe itself was at worst.
      type: float
    instances:
      description: The instances that answered, in the order of their first answers.
      type: list
      elements: str
    first_errors:
      description: The first five failures, each with C(seq), C(end_s) and C(error).
      type: list
      elements: dict
ansible_facts:
  description: The same values as facts.
  type: dict
  returned: when a probe has ended
  contains:
    mec_relocation:
      description: Facts of the relocation.
      type: dict
      returned: when a probe has ended
      contains:
        downtime_probe:
          description: RV(id), RV(samples) and RV(summary).
          type: dict
          returned: when a probe has ended
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mec.relocation.plugins.module_utils.programs.command import carry_out

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {
        "type": "str",
        "choices": ["run", "started", "restarted", "stopped"],
        "default": "run",
    },
    "name": {"type": "str", "default": "default"},
    "url": {"type": "str"},
    "interval_s": {"type": "float", "default": 0.005},
    "duration_s": {"type": "float", "default": 10},
    "max_duration_s": {"type": "float", "default": 120},
    "timeout_s": {"type": "float", "default": 5},
    "ca_file": {"type": "path"},
    "directory": {"type": "path", "default": "/var/lib/mec-probe"},
}
REQUIRED_IF = [("state", state, ["url"]) for state in ("run", "started", "restarted")]


def main() -> None:
    """Do what the state asks for."""
    # Not above: who only wants to know the parameters need not load what they are for.
    from ansible_collections.mec.relocation.plugins.module_utils.commands.downtime_probe import run

    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC, required_if=REQUIRED_IF, supports_check_mode=True
    )
    carry_out(module, run)


if __name__ == "__main__":
    main()
