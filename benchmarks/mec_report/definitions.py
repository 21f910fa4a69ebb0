# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How each figure is defined, in the report's own words."""

from __future__ import annotations

from typing import Any

_SERIES = {
    "experiments": "A series is named by experiments.jsonl. Relocations that it does not name, "
    "such as those of an interrupted repetition, are listed but not counted.",
    "replay": "A series is what one policy made of the trace (replay.jsonl). Relocations that it "
    "does not name are listed but not counted.",
    "scenario": "There is no experiments.jsonl: a series is the scenario of the record, and the "
    "repetitions are numbered as they came.",
}


def definitions(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Terms of the report with what they mean and which file they come from."""
    method = summary["method"]
    paper_s = summary["paper"]["mean_downtime_s"]
    found = [
        ("Series", _SERIES[summary["series_from"]]),
        (
            "Completed",
            "All distributions are of completed relocations. Those that were aborted, or whose "
            "outcome is uncertain, are counted and never mixed with them. One that was uncertain "
            "counts as it has ended since, where that is known; nobody measured its downtime.",
        ),
        (
            "Downtime",
            "B - A, as in the paper. A: the moment before the gateways are asked to hold requests; "
            "B: the moment after the last of them has confirmed the release. One monotonic clock, "
            "on the source (relocations.jsonl).",
        ),
        (
            "Longest gap",
            "What the UE saw: the longest time between the completions of two successive "
            "successful answers (2xx, 3xx), computed from the raw samples (probe-*.csv). An outage "
            "of which the probe saw one end counts as far as it was seen.",
        ),
        (
            "Slowest request, failed requests",
            "From the raw samples. The slowest of the successful requests; a request failed when "
            "it had no answer, or another than 2xx and 3xx. "
            "Where failed requests are given as a part of all, relocations of every outcome count.",
        ),
        (
            "Total relocation time",
            "From the handoff message to the end of the relocation (relocations.jsonl).",
        ),
        (
            "Bytes moved",
            "The sum over the phases of a relocation, and of the preparations made for the same "
            "handoff and app before it (preparations.jsonl). A phase that a relocation goes "
            "through twice counts with its sum.",
        ),
        (
            "Volume verified",
            "How many completed relocations were found to have the same volume on both sides, but "
            "for what the app had changed since, of those in which anyone looked "
            "(relocations.jsonl). What was found otherwise is listed as an error.",
        ),
        (
            "p95, p99",
            "Nearest rank: the smallest measured value that so many percent do not exceed. "
            "With few values they are the maximum.",
        ),
        (
            "95 % interval",
            f"Percentile bootstrap of mean and of median: {method['resamples']:,} resamples with "
            f"replacement, seed {method['seed']}, nearest rank at 2.5 % and 97.5 %. It tells how "
            "repeatable the figure is on this machine; with fewer than ten values it is too "
            "narrow.",
        ),
        (
            "Times the paper's mean",
            f"Mean downtime divided by the paper's {paper_s:g} s. The paper's machines, network "
            "and platform were others: the ratio is an orientation, not a comparison.",
        ),
        (
            "Session, watch time",
            "Whether the viewer in the UE's browser was still signed in after the handoff, and "
            "went on where it had been (experiments.jsonl).",
        ),
    ]
    if summary["replay"]:
        found += [
            (
                "Announced, never came",
                "Handoffs of the trace that were announced ahead and cancelled; the bytes are of "
                "the preparations made for them. Preparations without a completed relocation "
                "include those, and others whose relocation was not completed.",
            ),
            ("Late", "How late the replay was at an event of the trace (replay.jsonl)."),
        ]
    return found
