# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The app of the runs on the testbed: deployed, asked, handed off, and brought back."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mec_bench import PROJECT
from mec_bench.site import CommandError, Site, run

from .faults import APP_UID, Ground, healing
from .hosts import Container, Hand, Writers

APP = "journal"
DECLARATION = PROJECT / "benchmarks" / "mec_chaos" / "journal" / "journal.yml"
_VOLUMES = "/srv/mec/pv"
_STATE = "/var/lib/mec-relocation"
_ENGINE = "/var/lib/docker"
# What the gateways go by.
_DECISIONS = "/run/mec-gateway"
_READABLE = {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_NOCOLOR": "1"}
# What an interrupted handoff left is leased for some seconds.
_RETRIES = 5
_RETRY_S = 4.0
# Whatever a relocation of the app has left on an ME host, made harmless without the library.
_THAW = """
for id in $(docker ps --all --quiet --no-trunc --filter {filter}); do
    find /sys/fs/cgroup -path "*$id*" -name freezer.state -exec sh -c 'echo THAWED >{{}}' \\;
    {remove}
done
"""
_CONTAINERS = {
    "docker": {"filter": f"label=relocation.mec.app={APP}", "remove": "docker rm --force $id"},
    "kubernetes": {"filter": f"name=k8s_app_{APP}-", "remove": ":"},
}
_FORGET = f"""
rm -rf {_STATE}/apps/{APP} {_VOLUMES}/{APP} {_VOLUMES}/{APP}.epoch-* {_DECISIONS}/{APP}
sed -i '/^{APP} /d' {_STATE}/gateway/locations.map
systemctl restart docker.service 'mec-relocation*.service' haproxy.service
"""


@dataclass
class Play:
    """A playbook that runs, and where it tells about it."""

    process: subprocess.Popen[bytes]
    log: Path

    def ended(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None


class Field:
    """The testbed, as the runs use it."""

    def __init__(self, site: Site, platform: str) -> None:
        self.site = site
        self.platform = platform
        self.cells = {worker.name: worker.cell for worker in site.workers}
        self.containers = {name: Container(name) for name in self.cells}
        watched = (f"{_STATE}/apps/{APP}", f"{_DECISIONS}/{APP}")
        self.hands = {
            name: Hand(container, APP_UID, *watched) for name, container in self.containers.items()
        }
        self.ue = Container(site.ue.name)
        self.address = f"{APP}.{site.ue.domain}"
        self.writers = Writers(self.ue, self.address)
        self.grounds = {
            worker.name: Ground(
                _interface(self.containers[worker.name], worker.address), _VOLUMES, _STATE, _ENGINE
            )
            for worker in site.workers
        }

    def prepare(self) -> None:
        """Let every fault strike: have disks and clocks of their own on the ME hosts."""
        run(["ansible-playbook", "playbooks/chaos.yml"], cwd=PROJECT)

    def restore(self) -> None:
        """Have the ME hosts as they were before."""
        run(["ansible-playbook", "playbooks/chaos.yml", "-e", "chaos_state=absent"], cwd=PROJECT)

    def sync(self) -> None:
        """Have all on the disks that was written before; what a run loses is its own."""
        for container in self.containers.values():
            if container.has_disks():
                container.run(f"sync --file-system {_VOLUMES} {_STATE} {_ENGINE}")

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Have the hands on the hosts while the block runs; leave no fault behind."""
        try:
            for hand in self.hands.values():
                hand.reach_out()
            self.heal()
            yield
        finally:
            for name in self.cells:
                with contextlib.suppress(CommandError):
                    self.heal(name)
            for hand in self.hands.values():
                hand.let_go()

    def heal(self, *hosts: str) -> None:
        """Undo what faults have left, on some ME hosts or on all."""
        for name in hosts or self.containers:
            self.containers[name].run(healing(self.grounds[name]))

    def other(self, host: str) -> str:
        """The ME host that is not this one."""
        return next(name for name in self.cells if name != host)

    # -- the app ----------------------------------------------------------------------------

    def survey(self) -> tuple[dict[str, dict[str, Any] | None], dict[str, str | None]]:
        """What the ME hosts say of the app, and where their gateways send its requests."""
        output = run(
            ["ansible", ",".join(self.cells), "-m", "mec.relocation.app_info"],
            cwd=PROJECT,
            env=_READABLE,
        )
        found = re.findall(r"^(\S+) \| SUCCESS => (\{.*?^\})", output, re.M | re.S)
        answers = {host: json.loads(answer) for host, answer in sorted(found)}
        apps = {host: answer["apps"].get(APP) for host, answer in answers.items()}
        return apps, {host: answer["gateway"].get(APP) for host, answer in answers.items()}

    def serving(self) -> str | None:
        """The ME host that serves the app, by all that is noted, and for the UE."""
        try:
            apps, gateways = self.survey()
            states = {host: app and app["state"] for host, app in apps.items()}
            there = [host for host, state in states.items() if state == "serving"]
            if len(there) != 1 or set(gateways.values()) != set(there):
                return None
            self.attach(there[0])
            self.ask("GET", "/healthz")
        except CommandError:
            return None
        return there[0]

    def deploy(self) -> None:
        """Deploy the app; RLapp goes on with the apps that it knows."""
        self._play("deploy", "--limit", "!manager")

    def remove(self) -> None:
        """Have the app no more, nor its volume."""
        arguments = {"app": {"name": APP}, "state": "absent", "purge": True}
        module = ("-m", "mec.relocation.app_instance", "-a", json.dumps(arguments))
        for left in reversed(range(_RETRIES)):
            try:
                run(["ansible", ",".join(self.cells), *module], cwd=PROJECT)
                break
            except CommandError:
                if not left:
                    raise
                time.sleep(_RETRY_S)
        for container in self.containers.values():
            container.run(f"rm -f /etc/haproxy/apps.d/{APP}.cfg; systemctl reload haproxy.service")

    def recover(self) -> None:
        """Bring the app back, however it was left: it serves, and its volume is empty."""
        self.heal()
        for container in self.containers.values():
            # What should have come with the host, and has not, was judged by now.
            container.run("systemctl start multi-user.target")
        self.remove()
        self.deploy()

    def force(self) -> None:
        """The same, where the library cannot do it any more."""
        for container in self.containers.values():
            container.run(_THAW.format(**_CONTAINERS[self.platform]))
        if self.platform == "kubernetes":
            access = f"--kubeconfig={self.site.ue.state_dir}/kubernetes/admin.conf"
            with contextlib.suppress(CommandError):
                run(["helm", access, "--namespace=mec", "uninstall", APP])
        for container in self.containers.values():
            container.run(_FORGET)
        self.deploy()

    def attach(self, host: str) -> None:
        """Have the UE in the cell of an ME host."""
        self.ue.run(f"mec-ue-attach {self.cells[host]}")

    def ask(self, method: str, path: str) -> str:
        """Ask the app as the UE does; raises CommandError unless the answer is 200."""
        return self.ue.run(
            f"curl --silent --show-error --fail --max-time 5 --request {method}"
            f" https://{self.address}{path}"
        )

    def hand_off(self, host: str, log: Path, run_name: str, **message: str) -> Play:
        """Start the playbook that hands the UE off to the cell of an ME host."""
        given = {
            "ue": self.site.ue.name,
            "target_cell": self.cells[host],
            "handoff_results_dir": str(log.parent.parent),
            "run": run_name,
            # The writers watch.
            "handoff_probe": "false",
            **message,
        }
        extra = [word for name, value in given.items() for word in ("-e", f"{name}={value}")]
        command = ["nice", "-n", "10", "ansible-playbook", "playbooks/handoff.yml"]
        with log.open("ab") as out:
            process = subprocess.Popen(
                [*command, "-e", f"@{DECLARATION}", *extra],
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Play(process, log)

    def records(self) -> list[str]:
        """The relocation records of the ME hosts, one JSON object a line."""
        found: dict[str, None] = {}
        for container in self.containers.values():
            shown = container.run(f"tail -n 50 {_STATE}/records.jsonl 2>/dev/null || true")
            found |= dict.fromkeys(line for line in shown.splitlines() if f'"app":"{APP}"' in line)
        return list(found)

    def journal_on(self, host: str, name: str) -> bytes:
        """A journal as it lies on an ME host's volume."""
        path = f"{_VOLUMES}/{APP}/journal/{name}"
        return self.containers[host].run(f"cat {path} 2>/dev/null || true").encode()

    def evidence(self, since: str) -> dict[str, str]:
        """What somebody wants to see of a run that failed, by the name of a file."""
        shown: Mapping[str, str] = {
            "notes": f'cd {_STATE}/apps/{APP} && for f in *.json; do echo "== $f"; cat $f; done',
            "gateway": f"head {_STATE}/gateway/locations.map {_DECISIONS}/*",
            "containers": f"docker ps --all --filter label=relocation.mec.app={APP}",
            "processes": "ps axfo pid,ppid,stat,lstart,args",
            "journalctl": f"journalctl --no-pager --output=short-precise --since='{since}'",
        }
        found = {}
        for host, container in self.containers.items():
            for name, command in shown.items():
                try:
                    found[f"{host}-{name}.txt"] = container.run(f"({command}) 2>&1 || true")
                except CommandError as error:
                    found[f"{host}-{name}.txt"] = str(error)
        return found

    def _play(self, name: str, *arguments: str) -> None:
        command = ["ansible-playbook", f"playbooks/{name}.yml", "-e", f"@{DECLARATION}"]
        run([*command, *arguments], cwd=PROJECT)


def _interface(container: Container, address: str) -> str:
    return container.run(f"ip -oneline address show to {address}").split()[1]


def as_lines(said: Sequence[Mapping[str, Any]]) -> str:
    """Objects as they are kept, one a line."""
    return "".join(json.dumps(each) + "\n" for each in said)
