# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The paper's own figures: its Table 4."""

from __future__ import annotations

import statistics

from .records import Instance

TABLE_4: tuple[tuple[float, Instance, Instance], ...] = (
    (
        0.503,
        Instance("videoapp-1-c44cb848b-q4mf6", "172.18.233.255"),
        Instance("videoapp-2-7476c95669-62lgb", "172.18.182.75"),
    ),
    (
        0.530,
        Instance("videoapp-1-c44cb848b-7gxq2", "172.18.233.4"),
        Instance("videoapp-2-7476c95669-z2tm4", "172.18.182.76"),
    ),
    (
        0.490,
        Instance("videoapp-1-c44cb848b-g2pmh", "172.18.233.5"),
        Instance("videoapp-2-7476c95669-z7s6f", "172.18.182.77"),
    ),
    (
        0.514,
        Instance("videoapp-1-c44cb848b-b4vv7", "172.18.233.152"),
        Instance("videoapp-2-7476c95669-995xt", "172.18.182.78"),
    ),
    (
        0.533,
        Instance("videoapp-1-c44cb848b-rf4z5", "172.18.233.154"),
        Instance("videoapp-2-7476c95669-ng7qz", "172.18.182.79"),
    ),
)
MEAN_DOWNTIME_S = round(statistics.fmean(downtime_s for downtime_s, _, _ in TABLE_4), 3)
