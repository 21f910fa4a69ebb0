# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How each figure of a benchmark is defined, in the report's own words."""

DEFINITIONS = (
    (
        "Round",
        "One relocation with every scheme, in an order that is drawn anew. The first relocation of "
        "each scheme brings everything to a place that never had it: it is in samples.csv as round "
        "0, and in no figure.",
    ),
    (
        "Longest gap",
        "What the UE saw: the longest time between the completions of two successive successful "
        "answers (2xx, 3xx), computed from the raw samples (probe-*.csv). The same probe, every "
        "5 ms, for all schemes; a gap is never shorter than that.",
    ),
    (
        "Gap at the switch",
        "The gap that ends with the first answer from the new place. What a relocation does ahead "
        "can make the service slow, too: with large volumes, disks and cores are busy with copies. "
        "That is in the longest gap, and not in this one.",
    ),
    (
        "Times ours, times the floor",
        "The median of a scheme's longest gaps divided by that of ours (standby, pro-active), and "
        "by that of the floor. Percentile bootstrap: 10,000 times both sides are drawn anew with "
        "replacement, each from its own values; with fewer than ten rounds the interval is too "
        "narrow.",
    ),
    (
        "The floor",
        "Freeze, send what changed over a channel that is open, switch the gateways. It is no "
        "relocation: the target's instance serves from a copy made a moment before, so what was "
        "written since is lost there. No scheme that activates anything can be as short.",
    ),
    (
        "Rounds with a write lost",
        "Rounds in which the viewer found that a write that had been acknowledged was gone. He "
        "opens the video anew for each position, and the service numbers the viewings: a number "
        "that comes twice, or a position that is lower, is a write lost.",
    ),
    (
        "Bytes over the backbone",
        "What all hosts sent, by the counters of their interfaces, from the command to its end. "
        "With a viewer, his requests and those of the probe are among them while the UE is in "
        "another cell than the instance.",
    ),
    (
        "Command to service, message to service",
        "Until the UE had the first answer from the new place. The command is the first that is "
        "run for the relocation; the message is the handoff message, so preparations that were "
        "made before it are left out.",
    ),
    (
        "Downtime by its own account",
        "As the scheme defines it. Ours: from the hold to the release, the median of its apps. "
        "It is not compared; the longest gap is.",
    ),
)
