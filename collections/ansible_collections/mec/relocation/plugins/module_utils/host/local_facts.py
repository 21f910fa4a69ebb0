# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The last relocation of each app, as a local fact: ``ansible_local.mec_relocation.<app>``.

The role ``me_host`` has Ansible's fact gathering run this on ME hosts.
"""

from __future__ import annotations

import json
import sys

from ..ground.config import HostConfig
from ..ground.errors import RelocationError
from .state import last_records


def main() -> None:
    """Print the records as one JSON object."""
    try:
        records = last_records(HostConfig.load().state_dir)
    except RelocationError as error:
        sys.exit(str(error))
    print(json.dumps(records))


if __name__ == "__main__":
    main()
