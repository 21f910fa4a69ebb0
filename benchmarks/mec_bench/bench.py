# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run: every round of a row measures every scheme once, in an order that is drawn anew."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from itertools import groupby

from mec_report import units

from . import volume
from .backbone import Backbone
from .measure import Meter
from .remote import FOLDER
from .sample import Sample, SampleFile
from .scheme import Scheme
from .schemes import SCHEMES
from .site import Site
from .sweeps import Load, Sweep


class Bench:
    """Measures schemes, and keeps every sample in the folder of the run.

    Args:
        seed: of the orders.
    """

    def __init__(self, site: Site, seed: int) -> None:
        self._site = site
        self._draw = random.Random(seed)  # noqa: S311, nothing is kept secret with it
        self._samples = SampleFile(site.folder / "samples.csv")

    def run(
        self, name: str, sweep: Sweep, rows: Sequence[str], chosen: Sequence[str], rounds: int
    ) -> None:
        """Measure some rows and schemes of a sweep. Round 0 is the first copy of everything.

        The testbed is left as it was found, also when this is interrupted.
        """
        cell = self._site.ue.cell()
        try:
            # Rows with the same volume follow each other, and share what is deployed for them.
            for deployed, group in groupby(rows, lambda row: _on_disk(sweep.rows[row])):
                files, size_bytes, apps = deployed
                schemes = [SCHEMES[scheme](self._site, apps) for scheme in chosen]
                with _deployed(schemes, files, size_bytes):
                    for row in group:
                        self._row(name, row, sweep.rows[row], schemes, rounds)
        finally:
            self._site.ue.run("mec-ue-attach", cell)
            for host in (self._site.ue, *self._site.workers):
                host.run("rm", "-rf", FOLDER)

    def _row(self, name: str, row: str, load: Load, schemes: list[Scheme], rounds: int) -> None:
        hosts = {place.name: place for scheme in schemes for place in scheme.places}
        known = {place.name: place for place in (*self._site.workers, *self._site.others)}
        backbone = Backbone(list((known | hosts).values()))
        meter = Meter(self._site.ue, backbone, self._site.folder)
        backbone.unlimited()
        with backbone.limited(load.rate_bit_s):
            for number in range(rounds + 1):
                for scheme in self._draw.sample(schemes, len(schemes)):
                    sample = meter.measure(scheme, load, name, row, number)
                    self._samples.append(sample)
                    print(f"{name} {row}  {number:2}/{rounds}  {_said(sample)}", flush=True)
                    if sample.error:
                        # Nobody knows how it left things.
                        _deploy(scheme, load.files, load.size_bytes)


def _on_disk(load: Load) -> tuple[int, int, int]:
    """What of a load has to be deployed: files, their size, and the number of apps."""
    return load.files, load.size_bytes, load.apps


@contextlib.contextmanager
def _deployed(schemes: Sequence[Scheme], files: int, size_bytes: int) -> Iterator[None]:
    """Have each scheme's app serve, with so much on its volume, while the block runs."""
    with contextlib.ExitStack() as stack:
        for scheme in schemes:
            print(f"deploying: {scheme.title}", flush=True)
            stack.callback(scheme.clean)
            _deploy(scheme, files, size_bytes)
        yield


def _deploy(scheme: Scheme, files: int, size_bytes: int) -> None:
    scheme.prepare()
    volume.fill(scheme.where(), scheme.volume, files, size_bytes)


def _said(sample: Sample) -> str:
    """A line about a sample, for who watches."""
    began = f"{sample.scheme:18} {sample.source} -> {sample.target}"
    if sample.error:
        return f"{began}  failed: {sample.error}"
    figures = [
        f"gap {units.seconds(sample.longest_gap_s):>9}",
        f"failed {sample.failed}/{sample.requests}",
        f"lost {units.number(sample.lost)}",
        units.size(sample.backbone_bytes),
        f"served after {units.seconds(sample.served_s)}",
    ]
    return f"{began}  {'  '.join(figures)}"
