# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""On the UE: the collection's own downtime probe, until SIGTERM.

watch.py URL INTERVAL_S SAMPLES
"""

import json
import sys
from pathlib import Path

from ansible_collections.mec.relocation.plugins.module_utils.probe.probe import (
    MAX_DURATION_LIMIT_S,
    Probe,
    Settings,
    run,
)


def main() -> None:
    url, interval_s, samples = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    settings = Settings(url=url, interval_s=interval_s, duration_s=MAX_DURATION_LIMIT_S)
    summary = run(Probe(settings), samples, begun=lambda: print("ready", flush=True))
    print(json.dumps({"duration_s": summary.duration_s}))


if __name__ == "__main__":
    main()
