"""Watch a video on a UE while it hands off to the other cell, and tell what happened."""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Any

from playwright.sync_api import Error
from rich.console import Console
from rich.table import Table

from .console import begin, invite, rlapp_of
from .samples import Watched
from .testbed import PROJECT, TestbedError, Ue, find_ue
from .watch import Viewer, browser_on

APP = "videoapp"
VIDEO = "Aurora"
BEFORE_S = 3.0
AFTER_S = 5.0
_TASK = re.compile(r"^TASK \[(?:\S+ : )?(?P<name>.+?)\] \*")


class Handoff:
    """`ansible-playbook playbooks/handoff.yml`, as it runs."""

    def __init__(self, ue: str, cell: str, run: str, on_task: Callable[[str], None]) -> None:
        self.run = run
        self.log = PROJECT / "results" / run / "handoff.log"
        self._on_task = on_task
        self._last: deque[str] = deque(maxlen=40)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        variables = [f"ue={ue}", f"target_cell={cell}", f"run={run}"]
        self._process = subprocess.Popen(
            ["ansible-playbook", "playbooks/handoff.yml"]
            + [part for variable in variables for part in ("-e", variable)],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self.log.open("w", encoding="utf-8") as log:
            for line in self._process.stdout or ():
                log.write(line)
                self._last.append(line.rstrip())
                if task := _TASK.match(line):
                    self._on_task(task["name"])

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def finish(self) -> None:
        """Take note of the end; raises TestbedError with the end of the output if it failed."""
        self._reader.join()
        if self._process.wait() != 0:
            said = "\n".join(self._last)
            raise TestbedError(f"the handoff failed:\n{said}\n\nall of its output: {self.log}")

    def interrupt(self) -> None:
        """Let it clean up and end."""
        if self.running():
            self._process.send_signal(signal.SIGINT)
            self._process.wait()


def milliseconds(time_s: float | None) -> str:
    """0.0214 -> "21 ms"; a dash when it is not known."""
    return "-" if time_s is None else f"{time_s * 1000:,.0f} ms"


def size(count_bytes: int) -> str:
    """57063477 -> "57.1 MB"; nothing for nothing."""
    if count_bytes < 1000:
        return f"{count_bytes} B" if count_bytes else ""
    exponent = 2 if count_bytes >= 1_000_000 else 1
    return f"{count_bytes / 1000**exponent:,.1f} {' kM'[exponent]}B"


def report(record: dict[str, Any], watched: Watched, viewer: Viewer, cells: str) -> Table:
    """The relocation of an app and what its viewer saw, as a table."""
    client = record["client"] or {}
    table = Table(
        title=f"Handoff of {record['ue']}: {cells}", title_justify="left", show_header=False
    )
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    table.add_row("app", f"{record['app']}, {record['source']} → {record['target']}")
    table.add_row("scenario", f"{record['scenario']}, {record['outcome']}")
    table.add_row("downtime", f"[bold]{milliseconds(record['downtime_s'])}[/bold]")
    table.add_row("total", milliseconds(record["total_s"]))
    table.add_row("UE's longest gap", milliseconds(client.get("longest_gap_s")))
    if client:
        table.add_row("failed requests", f"{client['failed']} of {client['requests']:,}")
    table.add_section()
    stall = f"stood still for {milliseconds(watched.longest_stall_s)} at most"
    table.add_row("the viewer's video", stall if watched.longest_stall_s else "never stood still")
    table.add_row(
        "position",
        f"{watched.position_start_s:.1f} s → {watched.position_end_s:.1f} s, "
        + ("[red]went back[/red]" if watched.went_back else "never went back"),
    )
    table.add_row(
        "signed in",
        "[red]had to sign in again[/red]" if viewer.signed_out else "still, same session",
    )
    table.add_row("served by", viewer.served_by())
    return table


def phases(record: dict[str, Any]) -> Table:
    """Time and bytes of each phase."""
    table = Table(title="Phases", title_justify="left")
    table.add_column("phase", style="cyan")
    for column in ("from", "took", "bytes"):
        table.add_column(column, justify="right")
    for phase in record["phases"]:
        table.add_row(
            phase["name"],
            milliseconds(phase["start_s"]),
            milliseconds(phase["duration_s"]),
            size(phase["bytes"]),
        )
    return table


def watch_a_handoff(ue: Ue, console: Console) -> int:
    """The demo. Returns the exit status: 0 when the app moved and its viewer lost nothing."""
    source_cell = ue.cell()
    target_cell = next((cell for cell in ue.cells if cell != source_cell), None)
    if target_cell is None:
        raise TestbedError(f"{ue.name} has no other cell to go to: see mec_cells in the inventory")
    cells = f"{source_cell} → {target_cell}"
    run = time.strftime("%Y%m%d-%H%M%S")
    results = PROJECT / "results" / run

    with (
        console.status(f"{ue.name}: opening a browser") as status,
        browser_on(ue) as browser,
        Viewer(browser, f"https://{APP}.{ue.domain}") as viewer,
    ):
        viewer.sign_in("viewer", ue.secret(f"{APP}_password"))
        viewer.play(VIDEO)
        console.print(f"{ue.name} watches {VIDEO} in {source_cell}, served by {viewer.served_by()}")
        status.update(f"{ue.name}: watching")
        viewer.watch()
        viewer.watch_for(BEFORE_S)
        viewer.screenshot(results / "before.png")

        console.print(f"{ue.name} moves to {target_cell}")
        handoff = Handoff(ue.name, target_cell, run, lambda t: status.update(f"handoff: {t}"))
        try:
            while handoff.running():
                viewer.watch_for(0.5)
            handoff.finish()
        finally:
            handoff.interrupt()
        status.update(f"{ue.name}: watching on")
        viewer.watch_for(AFTER_S)
        viewer.screenshot(results / "after.png")
        watched = viewer.summary()
        (results / "viewer.json").write_text(json.dumps(viewer.report()), encoding="utf-8")
        record = last_record(results / "relocations.jsonl")
        console.print()
        console.print(report(record, watched, viewer, cells))
        console.print(phases(record))
    console.print(f"record       {shown(results)}/relocations.jsonl")
    console.print(f"raw samples  {shown(results)}/probe-*.csv, viewer.json")
    console.print(f"screenshots  {shown(results)}/before.png, after.png")
    rlapp = rlapp_of(ue)
    begin(rlapp, ue, loop=False)
    console.print()
    invite(rlapp, ue, console)
    console.print(f"{ue.name} drives a loop between the cells now; `make drive` keeps it going")
    well = record["outcome"] == "completed" and not watched.went_back and not viewer.signed_out
    return 0 if well else 1


def last_record(file: Path) -> dict[str, Any]:
    """The record of the app in the run's records; raises TestbedError when there is none."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    records: list[dict[str, Any]] = [json.loads(line) for line in lines]
    found = [record for record in records if record["app"] == APP]
    if not found:
        raise TestbedError(f"nothing was relocated: {file} has no record of {APP}")
    return found[-1]


def shown(path: Path) -> Path:
    """A path as somebody in the project's folder would write it."""
    return path.relative_to(PROJECT)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m mec_ue.demo", description=__doc__)
    parser.add_argument("--ue", default="ue1", help="a UE of the inventory (default: ue1)")
    options = parser.parse_args()
    interrupted = False

    def on_interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        sys.exit(watch_a_handoff(find_ue(options.ue), Console(highlight=False)))
    except KeyboardInterrupt:
        sys.exit(130)
    except (TestbedError, Error) as error:
        # A terminal interrupts Playwright's driver, too: that the page is gone is no news then.
        sys.exit(130 if interrupted else f"demo: {error}")


if __name__ == "__main__":
    main()
