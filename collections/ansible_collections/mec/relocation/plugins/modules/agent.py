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
        server that has it loaded the module C(mec_relocation.programs.server).
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

import hashlib
import json
import pkgutil
import shutil
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mec.relocation.plugins import module_utils
from ansible_collections.mec.relocation.plugins.module_utils.ground.durable import write_durably
from ansible_collections.mec.relocation.plugins.module_utils.ground.library import DIGESTS, VERSION

if TYPE_CHECKING:
    # For Ansible, which sends with a module what it finds imported in it, and all of that is what
    # is installed. Nothing of it is run here.
    from ansible_collections.mec.relocation.plugins.module_utils.commands import (  # noqa: F401
        app_info,
        app_relocate,
        container_commit,
        downtime_probe,
        image_sync,
        ue_cell,
        volume_sync,
    )
    from ansible_collections.mec.relocation.plugins.module_utils.host import (  # noqa: F401
        local_facts,
        reconciler,
    )
    from ansible_collections.mec.relocation.plugins.module_utils.programs import (  # noqa: F401
        client,
        rsync_server,
        server,
        task,
    )


def library() -> dict[str, str]:
    """Every file of the library that came with this module: its path and its content."""
    sources = {"__init__.py": ""}
    prefix = f"{module_utils.__name__}."
    for info in pkgutil.walk_packages(module_utils.__path__, prefix):
        # A module is sent as a zip archive, whose loader tells sources as that of files does.
        loader: Any = getattr(find_spec(info.name), "loader", None)
        path = info.name.removeprefix(prefix).replace(".", "/")
        sources[f"{path}/__init__.py" if info.ispkg else f"{path}.py"] = loader.get_source(
            info.name
        )
    digests = {
        path: hashlib.sha256(source.encode()).hexdigest()
        for path, source in sources.items()
        if not path.endswith("__init__.py")
    }
    return {**sources, DIGESTS.name: json.dumps(digests, indent=1, sort_keys=True) + "\n"}


def replace(
    package: Path, wanted: Mapping[str, str], differing: Sequence[str], stale: Sequence[str]
) -> None:
    """Write what differs and remove what is stale, with the folders that held nothing else.

    The digests come last: until then they are not those of the files, and nobody relies on them. A
    server begins again when they change, so that nothing of the library before may be there then.
    """
    for name in differing:
        if name != DIGESTS.name:
            write_durably(package / name, wanted[name], mode=0o644)
    for name in stale:
        (package / name).unlink()
    for folder in {Path(name).parent for name in stale} - {Path(name).parent for name in wanted}:
        shutil.rmtree(package / folder)
    if DIGESTS.name in differing:
        write_durably(package / DIGESTS.name, wanted[DIGESTS.name], mode=0o644)


def main() -> None:
    """Install what differs, remove what is not part of the library any more."""
    module = AnsibleModule(
        argument_spec={"path": {"type": "path", "default": "/usr/lib/mec-relocation"}},
        supports_check_mode=True,
    )
    package = Path(module.params["path"]) / "mec_relocation"
    installed = {
        str(file.relative_to(package)): file.read_text()
        for file in (*package.rglob("*.py"), *package.glob(DIGESTS.name))
    }
    wanted = library()
    differing = sorted(name for name in wanted if installed.get(name) != wanted[name])
    stale = sorted(installed.keys() - wanted.keys())
    if not module.check_mode:
        replace(package, wanted, differing, stale)
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
