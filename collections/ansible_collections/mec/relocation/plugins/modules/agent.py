#!/usr/bin/python
# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: agent
short_description: Install the relocation agent on an ME host
version_added: 0.1.0
author:
  - The mec.relocation authors (@mec-relocation)
description:
  - Installs the relocation library that the modules of this collection use, so that an ME host can
    run it as the far end of a relocation channel.
  - The module installs the very files that it was sent with, so both ends of a channel are the same
    code.
extends_documentation_fragment:
  - mec.relocation.attributes
  - mec.relocation.attributes.changes
options:
  path:
    description:
      - The folder to install to. The library is the Python package C(mec_relocation) in it, and the
        agent the module C(mec_relocation.agent).
    type: path
    default: /usr/lib/mec-relocation
"""

EXAMPLES = r"""
- name: Install the agent
  mec.relocation.agent:
"""

RETURN = r"""
version:
  description: The version of the library.
  returned: success
  type: str
  sample: 0.1.0
"""

import pkgutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mec.relocation.plugins import module_utils

# Imported for what it brings along: the whole library is sent with this module.
from ansible_collections.mec.relocation.plugins.module_utils import agent as _agent  # noqa: F401
from ansible_collections.mec.relocation.plugins.module_utils import (
    local_facts as _local_facts,  # noqa: F401
)
from ansible_collections.mec.relocation.plugins.module_utils import (
    rsync_server as _rsync_server,  # noqa: F401
)
from ansible_collections.mec.relocation.plugins.module_utils.state import write_durably
from ansible_collections.mec.relocation.plugins.module_utils.version import VERSION


def library() -> dict[str, str]:
    """The source of every file of the library that came with this module, by file name."""
    sources = {"__init__.py": ""}
    for info in pkgutil.iter_modules(module_utils.__path__):
        # A module is sent as a zip archive, whose loader tells sources as that of files does.
        name = f"{module_utils.__name__}.{info.name}"
        loader: Any = getattr(find_spec(name), "loader", None)
        sources[f"{info.name}.py"] = loader.get_source(name)
    return sources


def main() -> None:
    """Install what differs, remove what is not part of the library any more."""
    module = AnsibleModule(
        argument_spec={"path": {"type": "path", "default": "/usr/lib/mec-relocation"}},
        supports_check_mode=True,
    )
    package = Path(module.params["path"]) / "mec_relocation"
    installed = {file.name: file.read_text() for file in package.glob("*.py")}
    wanted = library()
    differing = sorted(name for name in wanted if installed.get(name) != wanted[name])
    stale = sorted(installed.keys() - wanted.keys())
    if not module.check_mode:
        for name in differing:
            write_durably(package / name, wanted[name], mode=0o644)
        for name in stale:
            (package / name).unlink()
    module.exit_json(
        changed=bool(differing or stale),
        version=VERSION,
        diff={
            "prepared": "".join(f"install {name}\n" for name in differing)
            + "".join(f"remove {name}\n" for name in stale)
        },
    )


if __name__ == "__main__":
    main()
