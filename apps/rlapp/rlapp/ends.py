"""How relocations ended, as the ME hosts tell it."""

from __future__ import annotations

import datetime
from typing import Any


def ends(
    planned: list[dict[str, Any]], answers: dict[str, dict[str, Any]], row: dict[str, Any]
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """How relocations of a handoff ended, as the ME hosts tell it: their records, and outcomes.

    Where none has a record that is certain, it tells by where the app serves, unless it has been
    relocated again since.
    """
    records: dict[str, dict[str, Any]] = {}
    outcomes: dict[str, str] = {}
    for item in planned:
        app = item["app"]
        seen = {
            me_host: answer["apps"][app]
            for me_host, answer in answers.items()
            if app in answer.get("apps", {})
        }
        last = [found["last_relocation"] for found in seen.values() if found["last_relocation"]]
        own = [record for record in last if record["id"] == item["handoff"]]
        # What the source's says may be newer than what the target's does.
        own.sort(key=lambda record: bool(record["outcome"] != "uncertain"))
        told = {"ue": row["ue"], "scenario": item.get("scenario")}
        for record in own:
            records[app] = {**record, **{key: record[key] or told[key] for key in told}}
        outcomes[app] = records[app]["outcome"] if app in records else "uncertain"
        serves = [me_host for me_host, found in seen.items() if _serves(found)]
        again = any(_since(record, row) for record in last if record not in own)
        if outcomes[app] == "uncertain" and len(serves) == 1 and not again:
            by_host = {item["target"]: "completed", item["source"]: "aborted"}
            outcomes[app] = by_host.get(serves[0], "uncertain")
            if app in records and outcomes[app] != "uncertain":
                records[app] = settled(records[app], item, outcomes[app])
    return records, outcomes


def _serves(found: dict[str, Any]) -> bool:
    """Whether an ME host is the owner of an app, beyond doubt, and its instance serves."""
    owns = found["state"] == "serving" and found["current"] and not found["busy"]
    return bool(owns and found["instance"] and found["instance"]["healthy"])


def _since(record: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether a relocation has ended after a handoff began."""
    ended = datetime.datetime.fromisoformat(record["time"]).timestamp()
    return bool(ended > (row["started_s"] or row["asked_s"]))


def settled(record: dict[str, Any], item: dict[str, Any], outcome: str) -> dict[str, Any]:
    """The uncertain record of a relocation as it has ended, where no ME host has recorded that."""
    where = item["target"] if outcome == "completed" else item["source"]
    told = f"{record.get('error') or ''} It has ended since: {where} has the app."
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    return {**record, "outcome": outcome, "time": now, "error": told.strip()}
