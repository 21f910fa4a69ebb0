# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One relocation of any scheme, measured from the UE."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

from ansible_collections.mec.relocation.plugins.module_utils.probe import probe
from mec_ue.testbed import TestbedError, Ue

from . import volume
from .backbone import Backbone
from .remote import FOLDER, PROGRAMS, install, install_library, running
from .sample import Sample
from .scheme import Moved, Scheme, SchemeError
from .site import CommandError, Place
from .sweeps import Load
from .viewer import writing

_VIDEO = "aurora"
_INTERVAL_S = probe.INTERVAL_S
# Without a viewer the probe is there to see the new place, and not to be seen on the backbone.
_QUIET_INTERVAL_S = 0.25
# The probe sees the service as it is, before and after. Afterwards for longer than a gateway looks
# for an instance before it answers 503, so that no failure is the last that is seen.
_BEFORE_S = 0.5
_AFTER_S = 4.0


@dataclass
class Watched:
    """What the probe saw. Its times begin at `begun_s` of this process's clock.

    The UE says that its probe begins, which is heard here a millisecond later: good enough for the
    times that are taken from it, of hundreds of them and more.
    """

    begun_s: float = 0.0
    duration_s: float = 0.0
    samples: Sequence[probe.Sample] = ()


class Meter:
    """Measures relocations, and keeps the raw samples of each in a folder."""

    def __init__(self, ue: Ue, backbone: Backbone, folder: Path) -> None:
        self._ue = ue
        self._backbone = backbone
        self._folder = folder
        install_library(ue.ssh)
        self._program = install(ue.ssh, PROGRAMS / "watch.py", "watch.py")

    def measure(self, scheme: Scheme, load: Load, sweep: str, row: str, number: int) -> Sample:
        """One relocation of a scheme that has the load on its volume.

        Where it fails, the sample says why.
        """
        source, target = scheme.where(), _elsewhere(scheme)
        began = datetime.datetime.now(datetime.UTC)
        sample = Sample(
            sweep=sweep,
            row=row,
            round=number,
            scheme=scheme.name,
            source=source.name,
            target=target.name,
            began=began.isoformat(timespec="milliseconds"),
        )
        try:
            return self._measured(scheme, load, sample)
        except (CommandError, SchemeError, TestbedError) as error:
            return dataclasses.replace(sample, error=str(error))

    def _measured(self, scheme: Scheme, load: Load, sample: Sample) -> Sample:
        source, target = scheme.where(), _elsewhere(scheme)
        if load.changed_bytes:
            volume.change(source, scheme.volume, load.changed_bytes)
        self._ue.run("mec-ue-attach", source.cell)
        host = f"{scheme.app}.{self._ue.domain}"
        interval_s = _INTERVAL_S if load.viewer else _QUIET_INTERVAL_S
        viewer: dict[str, Any] = {}
        with contextlib.ExitStack() as stack:
            if load.viewer:
                stack.enter_context(writing(self._ue, host, _VIDEO, viewer))
            scheme.ready()
            # What was written before is on the disk: no scheme pays for the one before it.
            source.run("sync")
            if load.dirty_bytes_s:
                stack.enter_context(_dirtying(scheme, load.dirty_bytes_s))
            raw = self._folder / f"probe-{sample.name}.csv"
            watched = stack.enter_context(self._watching(host, interval_s, raw))
            time.sleep(_BEFORE_S)
            sent_bytes = self._backbone.sent_bytes()
            began_s = time.monotonic()
            if not scheme.moves_ue:
                self._ue.run("mec-ue-attach", target.cell)
            moved = scheme.move()
            ended_s = time.monotonic()
            sent_bytes = self._backbone.sent_bytes() - sent_bytes
            time.sleep(_AFTER_S)
        if load.viewer and not viewer:
            raise SchemeError("the viewer was thrown out")
        self._keep_details(sample, moved, viewer)
        summary = probe.summarise(watched.samples, interval_s, watched.duration_s)
        first_s, switch_gap_s = switch_of(watched.samples)
        served_at_s = watched.begun_s + first_s
        return dataclasses.replace(
            sample,
            longest_gap_s=summary.longest_gap_s,
            switch_gap_s=switch_gap_s,
            requests=summary.requests,
            failed=summary.failed,
            skipped=summary.skipped,
            latest_tick_s=summary.latest_tick_s,
            written=viewer.get("written"),
            lost=viewer["went_back"] + viewer["lost"] if viewer else None,
            backbone_bytes=sent_bytes,
            served_s=served_at_s - began_s,
            message_s=served_at_s - (moved.message_at_s or began_s),
            total_s=ended_s - began_s,
            downtime_s=statistics.median(moved.downtime_s) if moved.downtime_s else None,
        )

    @contextlib.contextmanager
    def _watching(self, host: str, interval_s: float, raw: Path) -> Iterator[Watched]:
        """Run the probe on the UE while the block runs; then its samples are in `raw`, too."""
        there = f"{FOLDER}/samples.csv"
        watched, found = Watched(), dict[str, Any]()
        url = f"https://{host}/healthz"
        command = ("python3", self._program, url, f"{interval_s}", there)
        with running(self._ue.ssh, *command, found=found):
            watched.begun_s = time.monotonic()
            yield watched
        text = self._ue.run("cat", there)
        raw.write_text(text, encoding="utf-8")
        watched.duration_s = found["duration_s"]
        watched.samples = probe.read_samples(text.splitlines())

    def _keep_details(self, sample: Sample, moved: Moved, viewer: Mapping[str, Any]) -> None:
        details = {
            "sample": sample.name,
            "downtimes_s": list(moved.downtime_s),
            "phases": dict(moved.phases),
            "viewer": viewer,
        }
        with (self._folder / "details.jsonl").open("a", encoding="utf-8") as out:
            out.write(json.dumps(details) + "\n")


def _elsewhere(scheme: Scheme) -> Place:
    """The place that does not serve."""
    source = scheme.where()
    return next(place for place in scheme.places if place is not source)


def switch_of(samples: Sequence[probe.Sample]) -> tuple[float, float]:
    """When the new place gave its first answer, in the probe's time, and the gap before it.

    That is when another instance answers than before. Where the instance kept its name, as one that
    is restored from a checkpoint does, it is the end of the longest gap.

    Raises:
        SchemeError: the service did not answer.
    """
    answers = sorted((sample.end_s, sample.instance) for sample in samples if sample.succeeded)
    if len(answers) < 2:
        raise SchemeError("the service did not answer")
    gaps = [
        (later_s, later_s - earlier_s, instance)
        for (earlier_s, _), (later_s, instance) in pairwise(answers)
    ]
    new = [(end_s, gap_s) for end_s, gap_s, instance in gaps if instance != answers[0][1]]
    return new[0] if new else max(((end_s, gap_s) for end_s, gap_s, _ in gaps), key=itemgetter(1))


@contextlib.contextmanager
def _dirtying(scheme: Scheme, rate_bytes_s: int) -> Iterator[None]:
    """Write to the volume from within the instance while the block runs.

    The process stops with its instance, and is not started anew at the target.
    """
    program = (PROGRAMS / "dirty.py").read_text(encoding="utf-8")
    command = scheme.inside("python3", "-c", program, "/data/dirty", f"{rate_bytes_s}")
    with running(scheme.where().ssh, *command):
        yield
