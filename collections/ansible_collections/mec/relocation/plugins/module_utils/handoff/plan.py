# Copyright (c) 2026, The mec.relocation authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a handoff message to a plan: a pure function (Figure 6 of the paper).

What a message asks for depends on what is prepared already:

============================  =====================  ===================
status of the handoff         prepared on target     prepared nowhere
============================  =====================  ===================
in preparation                continue               pro-active
in execution, completed       continue               re-active
none: announced and executed  continue               pro-active
none: the UE is there already continue               re-active
cancelled, rejected           abort and clean up     nothing to do
============================  =====================  ===================

Where the app serves on the target already there is nothing to do. A policy other than adaptive
decides in place of the message: for one scenario in any case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..ground.app import check_name
from ..ground.errors import RelocationError, damaged_note, settle_command

# ETSI GS MEC 012, HoStatus. Without one, a message asks for the whole handoff in one go.
HO_STATUS = ("IN_PREPARATION", "IN_EXECUTION", "COMPLETED", "REJECTED", "CANCELLED")

# What can be decided for an app.
DECISIONS = ("proactive", "continue", "reactive", "abort", "nothing")
POLICIES = ("adaptive", "proactive", "reactive")


@dataclass(frozen=True)
class Message:
    """A handoff message: this UE goes to that cell."""

    ue: str
    target_cell: str
    source_cell: str | None = None
    ho_status: str | None = None
    apps: tuple[str, ...] | None = None
    policy: str = "adaptive"


@dataclass(frozen=True)
class Situation:
    """What is where, as the inventory and the ME hosts tell it.

    ``cells`` maps a cell to ``{"me_host": ...}``, ``ues`` a UE and ``me_hosts`` an ME host to what
    it answered to the modules ``ue_cell`` and ``app_info``. What Ansible registers for a host that
    does not answer (``unreachable``, ``msg``) is an answer, too.
    """

    cells: Mapping[str, Mapping[str, Any]]
    ues: Mapping[str, Mapping[str, Any]]
    me_hosts: Mapping[str, Mapping[str, Any]]
    apps: Sequence[str]


@dataclass(frozen=True)
class Relocation:
    """What is to be done for one app.

    Attributes:
        decision: one of ``DECISIONS``; `reason` says why in words.
        scenario: ``proactive`` or ``reactive``, for the steps that are taken.
        prepare: bring image, volume and instance to the target before the UE moves.
        execute: relocate.
        clean: ME hosts on which a preparation is removed.
    """

    app: str
    handoff: str
    decision: str
    scenario: str
    source: str
    target: str
    prepare: bool
    execute: bool
    reason: str
    image: str
    health: str
    volume: bool
    clean: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What is to be done for a handoff message."""

    ue: str
    source_cell: str
    target_cell: str
    ho_status: str | None
    move_ue: bool
    relocations: tuple[Relocation, ...]

    def to_dict(self) -> dict[str, Any]:
        """The plan as facts."""
        return {**asdict(self), "relocations": [asdict(item) for item in self.relocations]}


def plan(message: Message, situation: Situation, handoff: str) -> Plan:
    """Decide what a handoff message asks for.

    Args:
        message: the message.
        situation: what is where.
        handoff: the id of this handoff, unless a prepared one is continued.

    Raises:
        RelocationError: names what the message has wrong, or what stands in the way.
    """
    status = _ho_status(message.ho_status)
    if message.policy not in POLICIES:
        raise RelocationError(
            f"The policy {message.policy!r} is not one of {', '.join(POLICIES)}.",
            "Leave it out to let the message decide.",
        )
    ue = _known("UE", message.ue, situation.ues, "ues")
    cell = _known("cell", message.target_cell, situation.cells, "mec_cells")
    _refuse_silent(f"UE {message.ue!r}", ue)
    present_cell = ue.get("cell")
    if not isinstance(present_cell, str) or present_cell not in situation.cells:
        raise RelocationError(
            f"UE {message.ue!r} is in no known cell ({present_cell!r}).",
            "Attach it to one: playbooks/testbed.yml does.",
        )
    if message.source_cell is not None:
        _known("cell", message.source_cell, situation.cells, "mec_cells")
    if message.source_cell not in (None, present_cell) and present_cell != message.target_cell:
        raise RelocationError(
            f"The message says that {message.ue} is in cell {message.source_cell!r}, but it is in "
            f"{present_cell!r}.",
            "Correct source_cell or leave it out.",
        )
    if status == "COMPLETED" and present_cell != message.target_cell:
        raise RelocationError(
            f"The message says that the handoff of {message.ue} is completed, but it is in cell "
            f"{present_cell!r}, not in {message.target_cell!r}.",
            "Send it when the UE has moved; with in_execution the UE is moved as well.",
        )
    target = str(cell["me_host"])
    if target not in situation.me_hosts:
        raise RelocationError(
            f"Cell {message.target_cell!r} names ME host {target!r}, which is not in me_hosts.",
            "Correct mec_cells or the inventory.",
        )
    apps = situation.apps if message.apps is None else message.apps
    for app in apps:
        check_name(app)
        if app not in situation.apps:
            raise RelocationError(
                f"App {app!r} is not declared (declared: {', '.join(situation.apps) or 'none'}).",
                "Declare it in mec_apps.",
            )
    moves = status in (None, "IN_EXECUTION") and present_cell != message.target_cell
    case = _Case(status, message.policy, moves)
    relocations = [_relocation(app, target, case, situation, handoff) for app in apps]
    return Plan(
        ue=message.ue,
        source_cell=message.source_cell or present_cell,
        target_cell=message.target_cell,
        ho_status=status,
        move_ue=moves,
        relocations=tuple(relocations),
    )


@dataclass(frozen=True)
class _Case:
    """What the message says of the handoff; `moves`: the UE is still to be moved."""

    status: str | None
    policy: str
    moves: bool

    def scenario(self, prepared: bool) -> str:
        """The scenario of a handoff that is executed (the choice of Figure 6)."""
        if self.policy != "adaptive":
            return self.policy
        announced = self.status is None and self.moves
        return "proactive" if prepared or announced else "reactive"


def _relocation(
    app: str, target: str, case: _Case, situation: Situation, handoff: str
) -> Relocation:
    epochs, prepared = {}, {}
    for name, answer in situation.me_hosts.items():
        found = answer.get("apps", {}).get(app)
        if found is None:
            continue
        if found["state"] == "serving":
            epochs[name] = found["epoch"]
        elif found["state"] == "prepared":
            prepared[name] = found["handoff"]
        elif found["state"] in ("relocating", "taking"):
            raise _unfinished(app, name, found)
        elif found["state"] == "lost":
            raise damaged_note(app, name)
    # One that has begun again may not have heard yet that another has taken the app.
    serving = [name for name, epoch in epochs.items() if epoch == max(epochs.values())]
    here = prepared.get(target)
    own = here or handoff
    _refuse_unreachable(app, target, serving, situation)
    _refuse_second_handoff(app, own, situation)
    source = serving[0]
    declaration = situation.me_hosts[source]["apps"][app]["declaration"]
    others = tuple(sorted(name for name in prepared if name != target))

    def decide(decision: str, reason: str, **what: Any) -> Relocation:
        chosen = {"scenario": "proactive", "prepare": False, "execute": False, **what}
        return Relocation(
            app=app,
            handoff=own,
            decision=decision,
            source=source,
            target=target,
            reason=reason,
            image=declaration["image"],
            health=declaration["health"],
            volume=declaration.get("volume") is not None,
            **chosen,
        )

    status = case.status
    if status in ("CANCELLED", "REJECTED"):
        clean = tuple(sorted(prepared))
        if not clean:
            return decide("nothing", f"{app} is prepared nowhere: nothing to clean up.")
        return decide(
            "abort",
            f"The handoff was {status.lower()}: {app} stays on {source}, its preparation on "
            f"{', '.join(clean)} is removed.",
            clean=clean,
        )
    if source == target:
        return decide("nothing", f"{app} serves on {target} already.", clean=others)
    if status == "IN_PREPARATION" and case.policy == "reactive":
        return decide("nothing", f"The policy is re-active: {app} is not prepared.", clean=others)
    if status == "IN_PREPARATION":
        return decide(
            "continue" if here else "proactive",
            f"The handoff is still announced: {app} is kept in step on {target}."
            if here
            else f"The handoff is announced: {app} is prepared on {target}.",
            prepare=True,
            clean=others,
        )
    if case.scenario(here is not None) == "reactive":
        return decide(
            "reactive",
            f"{app} is committed on {source} and run from that on {target}: "
            + ("the policy is re-active." if case.policy == "reactive" else "nothing is prepared."),
            scenario="reactive",
            execute=True,
            clean=others,
        )
    return decide(
        "continue" if here else "proactive",
        f"{app} is prepared on {target}: the handoff is completed."
        if here
        else f"{app} is prepared on {target} and relocated in one go.",
        prepare=here is None or status is None,
        execute=True,
        clean=others,
    )


def _refuse_unreachable(
    app: str, target: str, serving: Sequence[str], situation: Situation
) -> None:
    _refuse_silent(f"Target {target}", situation.me_hosts[target])
    down = [name for name, answer in situation.me_hosts.items() if answer.get("unreachable")]
    if len(serving) > 1:
        raise RelocationError(
            f"App {app!r} serves on several ME hosts: {', '.join(serving)}.",
            f"Say which is kept: {settle_command(app, serving[0])}",
        )
    if not serving and down:
        raise RelocationError(
            f"App {app!r} serves on no ME host that answers; {', '.join(down)} did not.",
            f"Bring the host up. If it is gone for good: {settle_command(app, target, down[0])}",
        )
    if not serving:
        raise RelocationError(
            f"App {app!r} serves nowhere.", "Deploy it (playbooks/deploy.yml does)."
        )


def _refuse_silent(what: str, answer: Mapping[str, Any]) -> None:
    if answer.get("unreachable"):
        raise RelocationError(
            f"{what} does not answer: {answer.get('msg', 'no reason given')}",
            "Bring it up, then hand off again.",
        )


def _refuse_second_handoff(app: str, own: str, situation: Situation) -> None:
    for name, answer in situation.me_hosts.items():
        lease = answer.get("apps", {}).get(app, {}).get("lease")
        if lease and lease["owner"] != own:
            raise _being_relocated(app, name, lease["owner"])


def _unfinished(app: str, me_host: str, found: Mapping[str, Any]) -> RelocationError:
    """Why an app in the middle of a relocation is not relocated again."""
    owner = found["busy"] or (found["lease"] or {}).get("owner")
    if owner:
        return _being_relocated(app, me_host, owner)
    peer = found["peer"]
    return RelocationError(
        f"The relocation of app {app!r} between {me_host} and {peer} was interrupted. It ends by "
        f"itself as soon as {me_host} and {peer} reach each other.",
        f"Hand off again then. If {peer} is gone for good: {settle_command(app, me_host, peer)}",
    )


def _being_relocated(app: str, me_host: str, owner: str) -> RelocationError:
    return RelocationError(
        f"App {app!r} is being relocated by handoff {owner} (on {me_host}).",
        "Wait until it has ended; an interrupted one frees the app after 15 s.",
    )


def _ho_status(given: str | None) -> str | None:
    if given is None or given == "":
        return None
    if given.upper() not in HO_STATUS:
        raise RelocationError(
            f"ho_status {given!r} is not one of {', '.join(HO_STATUS).lower()}.",
            "Leave it out for a handoff in one go.",
        )
    return given.upper()


def _known(
    kind: str, name: str, known: Mapping[str, Mapping[str, Any]], where: str
) -> Mapping[str, Any]:
    if name not in known:
        raise RelocationError(
            f"{kind} {name!r} is not known (known: {', '.join(sorted(known)) or 'none'}).",
            f"Correct the handoff message, or add it to {where} in the inventory.",
        )
    return known[name]
