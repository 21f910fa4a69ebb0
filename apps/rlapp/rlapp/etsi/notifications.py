"""Tells subscribers what happens: each kind of subscription, and what it wants to know."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from mec_ue.geo import Position, distance_m

from ..config import Config
from ..log import Log
from ..messages import HandoffMessage, Location, Relocation
from ..store import Store
from .delivery import Deliveries
from .subscriptions import Subscription, Subscriptions
from .types import HO_STATUS, now_timestamp, timestamp
from .world import IPV4, IPV4_RADIO, World, location_info

_TICK_S = 0.5
_COMPLETED = HO_STATUS.index("COMPLETED") + 1
_LINKS = {
    "userTracking": "UserTrackingSubscription",
    "zonalTraffic": "ZonalTrafficSubscription",
    "zoneStatus": "ZoneStatusSubscription",
    "area/circle": "CircleNotificationSubscription",
    "distance": "DistanceNotificationSubscription",
    "periodic": "PeriodicNotificationSubscription",
}


class Notifications:
    """Hears what happens, and puts notifications into the outbox."""

    def __init__(
        self,
        config: Config,
        store: Store,
        subscriptions: Subscriptions,
        deliveries: Deliveries,
        log: Log,
    ) -> None:
        self.world = World(config, store)
        self._config = config
        self._store = store
        self._subscriptions = subscriptions
        self._deliveries = deliveries
        self._log = log
        self._ticking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with what is due by time: periodic notifications, and expiry."""
        self._ticking = asyncio.get_running_loop().create_task(self._tick())

    async def stop(self) -> None:
        """End that."""
        if self._ticking:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)

    # What happens (messages.Listener).

    def located(self, before: Location | None, after: Location) -> None:
        """A UE has told where it is, or has changed its cell."""
        if (before.access_point if before else None) != after.access_point:
            self._attached(before, after)
        if before and before.cell and after.cell and before.cell != after.cell:
            self._cell_change(after.ue, before.cell, after.cell, _COMPLETED)
        address = self.world.address(after.ue)
        for subscription in self._subscriptions.all("area/circle"):
            if address in subscription.body["address"]:
                self._circle(subscription, address, after)
        for subscription in self._subscriptions.all("distance"):
            body = subscription.body
            if address in body["monitoredAddress"] + body.get("referenceAddress", []):
                self._distance(subscription)

    def announced(self, message: HandoffMessage, source_cell: str | None) -> None:
        """A handoff message was accepted. That it is completed is told when the UE has moved."""
        status = HO_STATUS.index(message.ho_status or "IN_EXECUTION") + 1
        if status != _COMPLETED and source_cell is not None:
            self._cell_change(message.ue, source_cell, message.target_cell, status)

    def relocating(self, relocation: Relocation) -> None:
        """An app is being relocated."""
        self._mobility_procedure(relocation, "INTERHOST_MOVEOUT_TRIGGERED")

    def relocated(self, relocation: Relocation, completed: bool) -> None:
        """A relocation has ended, and how is known."""
        status = "INTERHOST_MOVEOUT_COMPLETED" if completed else "INTERHOST_MOVEOUT_FAILED"
        self._mobility_procedure(relocation, status)

    def instances_changed(self, app: str) -> None:
        """An app has other instances than before."""
        instances = self.world.instances(app)
        for subscription in self._subscriptions.all("adj_app_info"):
            wanted = subscription.body["filterCriteria"].get("appInstanceId")
            if wanted not in (None, app, *(instance["name"] for instance in instances)):
                continue
            adjacent = [
                {
                    "appInstanceId": instance["name"],
                    "commInterface": [self.world.interface(app, instance["address"])],
                }
                for instance in instances
                if instance["name"] != wanted
            ]
            if adjacent:
                self._send(
                    subscription,
                    {
                        "notificationType": "AdjacentAppInfoNotification",
                        "timeStamp": now_timestamp(),
                        "adjacentAppInfo": adjacent,
                        "_links": {"subscription": {"href": subscription.url}},
                    },
                )

    def access_point_changed(self, name: str, status: str) -> None:
        """An access point can be used, or cannot any more."""
        zone = self.world.zone_of_access_point(name)
        for subscription in self._subscriptions.all("zoneStatus"):
            body = subscription.body
            if body["zoneId"] == zone and status in body.get("operationStatus", []):
                self._zone_status(subscription, accessPointId=name, operationStatus=status)

    def subscribed(self, subscription: Subscription) -> None:
        """A subscription begins: some want to know how things are now."""
        immediately = subscription.body.get("checkImmediate", False)
        if subscription.kind == "area/circle":
            places = self._locations()
            inside = {
                address: self._inside(subscription, places[address])
                for address in subscription.body["address"]
                if address in places
            }
            entering = subscription.body["enteringLeavingCriteria"] == "Entering"
            subscription.progress["inside"] = inside
            matching = [address for address in inside if inside[address] == entering]
            if immediately and matching:
                self._terminals(subscription, matching)
            self._subscriptions.note(subscription)
        elif subscription.kind == "distance":
            if not immediately:
                subscription.progress["met"] = self._criteria_met(subscription)
            self._distance(subscription)

    # MEC 013.

    def _attached(self, before: Location | None, after: Location) -> None:
        old_zone = self.world.zone(before.cell if before else None)
        new_zone = self.world.zone(after.cell)
        old_point = before.access_point if before else None
        if old_zone and old_zone == new_zone and old_point and after.access_point:
            self._zonal(after, new_zone, "Transferring", after.access_point, old_point)
        else:
            if old_zone and old_point:
                self._zonal(after, old_zone, "Leaving", old_point)
            if new_zone and after.access_point:
                self._zonal(after, new_zone, "Entering", after.access_point)
        if new_zone and after.access_point:
            self._crowded(new_zone, after.access_point, entered=new_zone != old_zone)

    def _zonal(
        self, location: Location, zone: str, event: str, point: str, previous: str | None = None
    ) -> None:
        address = self.world.address(location.ue)
        realm = self.world.interest_realm(point)
        notification: dict[str, Any] = {
            "zoneId": zone,
            "address": address,
            "userEventType": event,
            "currentAccessPointId": point,
            "timestamp": timestamp(location.time_s),
        }
        if previous is not None:
            notification["previousAccessPointId"] = previous
        if realm is not None:
            notification["interestRealm"] = realm
        wanting = [
            subscription
            for subscription in self._subscriptions.all("userTracking")
            if subscription.body["address"] == address
        ]
        for subscription in self._subscriptions.all("zonalTraffic"):
            realms = subscription.body.get("interestRealm")
            if subscription.body["zoneId"] == zone and (not realms or realm in realms):
                wanting.append(subscription)
        for subscription in wanting:
            criteria = subscription.body.get("userEventCriteria")
            if not criteria or event in criteria:
                self._send_location(subscription, "zonalPresenceNotification", notification)

    def _crowded(self, zone: str, point: str, *, entered: bool) -> None:
        at_point, in_zone = self.world.users_at(point), self.world.users_in_zone(zone)
        for subscription in self._subscriptions.all("zoneStatus"):
            body = subscription.body
            if body["zoneId"] != zone:
                continue
            # One UE has come: the threshold was crossed where it is exceeded by one.
            told: dict[str, Any] = {}
            if body.get("numberOfUsersAPThreshold") == at_point - 1:
                told |= {"accessPointId": point, "numberOfUsersInAP": at_point}
            if entered and body.get("numberOfUsersZoneThreshold") == in_zone - 1:
                told["numberOfUsersInZone"] = in_zone
            if told:
                self._zone_status(subscription, **told)

    def _zone_status(self, subscription: Subscription, **told: Any) -> None:
        notification = {"zoneId": subscription.body["zoneId"], "timestamp": now_timestamp(), **told}
        self._send_location(subscription, "zoneStatusNotification", notification)

    def _circle(self, subscription: Subscription, address: str, location: Location) -> None:
        inside = self._inside(subscription, location)
        seen = subscription.progress.setdefault("inside", {})
        entering = subscription.body["enteringLeavingCriteria"] == "Entering"
        # Where a terminal was before its first report is not known: it can enter, and not leave.
        happened = inside == entering and seen.get(address, False) != inside
        if happened and not self._terminals(subscription, [address]):
            return  # too early: told with the next report, if it is still so
        if seen.get(address) != inside:
            seen[address] = inside
            self._subscriptions.note(subscription)

    def _inside(self, subscription: Subscription, location: Location) -> bool:
        body = subscription.body
        centre = Position(body["latitude"], body["longitude"])
        away_m = distance_m(centre, location.position)
        return bool(away_m <= body["radius"])

    def _distance(self, subscription: Subscription) -> None:
        met = self._criteria_met(subscription)
        happened = met and not subscription.progress.get("met", False)
        if happened and not self._terminals(subscription, subscription.body["monitoredAddress"]):
            return  # too early, as above
        if met != subscription.progress.get("met"):
            subscription.progress["met"] = met
            self._subscriptions.note(subscription)

    def _criteria_met(self, subscription: Subscription) -> bool:
        body, places = subscription.body, self._locations()
        monitored = body["monitoredAddress"]
        others = body.get("referenceAddress") or monitored
        pairs = {
            (min(one, other), max(one, other))
            for one in monitored
            for other in others
            if one != other
        }
        known = [
            (places[one], places[other]) for one, other in pairs if {one, other} <= set(places)
        ]
        within = [
            distance_m(one.position, other.position) <= body["distance"] for one, other in known
        ]
        wanted = [near == ("Within" in body["criteria"]) for near in within]
        if body["criteria"].startswith("Any"):
            return any(wanted)
        return bool(wanted) and all(wanted) and len(known) == len(pairs)

    def _terminals(self, subscription: Subscription, addresses: list[str]) -> bool:
        """Tell where terminals are; False while it is too early for that."""
        body, progress, now_s = subscription.body, subscription.progress, time.time()
        if now_s - progress.get("told_s", 0.0) < body["frequency"]:
            return False
        counts, most = progress.setdefault("counts", {}), body.get("count", 0)
        wanted = [address for address in addresses if not most or counts.get(address, 0) < most]
        if not wanted:
            return True
        progress["told_s"] = now_s
        if most:
            counts |= {address: counts.get(address, 0) + 1 for address in wanted}
        places = self._locations()
        notification: dict[str, Any] = {
            "terminalLocation": [_terminal(address, places.get(address)) for address in wanted]
        }
        watched = body["monitoredAddress"] if "monitoredAddress" in body else body["address"]
        if most and all(counts.get(address, 0) >= most for address in watched):
            notification["isFinalNotification"] = True
        for name, key in (
            ("enteringLeavingCriteria", "enteringLeavingCriteria"),
            ("distanceCriteria", "criteria"),
        ):
            if key in body:
                notification[name] = body[key]
        self._subscriptions.note(subscription)
        self._send_location(subscription, "subscriptionNotification", notification)
        return True

    def _locations(self) -> dict[str, Location]:
        rows = self._store.rows("SELECT name, time_s, lat, lon, speed_mps, heading_deg FROM ues")
        return {
            self.world.address(row["name"]): Location(ue=row.pop("name"), **row)
            for row in rows
            if row["name"] in self._config.ues
        }

    def _send_location(
        self, subscription: Subscription, name: str, notification: dict[str, Any]
    ) -> None:
        reference = subscription.body["callbackReference"]
        told = {
            **notification,
            "link": [{"rel": _LINKS[subscription.kind], "href": subscription.url}],
        }
        if "callbackData" in reference:
            told["callbackData"] = reference["callbackData"]
        self._send(subscription, {name: told})

    # MEC 021.

    def _mobility_procedure(self, relocation: Relocation, status: str) -> None:
        names = {relocation.app, *(row["name"] for row in self.world.instances(relocation.app))}
        for instance in (relocation.source_instance, relocation.target_instance):
            names |= {instance["name"]} if instance else set()
        own = [{"type": IPV4, "value": ipv4} for ipv4 in self.world.ipv4(relocation.ue)]
        for subscription in self._subscriptions.all("mobility_proc"):
            criteria = subscription.body["filterCriteria"]
            if (
                status not in criteria["mobilityStatus"]
                or criteria.get("appInstanceId") not in (None, *names)
                or not _one_of(own, criteria.get("associateId"))
            ):
                continue
            notification: dict[str, Any] = {
                "notificationType": "MobilityProcedureNotification",
                "timeStamp": now_timestamp(),
                "associateId": own,
                "mobilityStatus": status,
                "_links": {"subscription": {"href": subscription.url}},
            }
            target = relocation.target_instance
            if target:
                notification["targetAppInfo"] = {
                    "appInstanceId": target["name"],
                    "commInterface": [self.world.interface(relocation.app, target["address"])],
                }
            self._send(subscription, notification)

    # MEC 012.

    def _cell_change(self, ue: str, source: str, target: str, status: int) -> None:
        source_ecgi, target_ecgi = self.world.ecgi(source), self.world.ecgi(target)
        own = [{"type": IPV4_RADIO, "value": ipv4} for ipv4 in self.world.ipv4(ue)]
        apps = self._config.apps_of(ue)
        for subscription in self._subscriptions.all("cell_change"):
            criteria = subscription.body["filterCriteriaAssocHo"]
            instances = [row["name"] for row in self.world.instances() if row["app"] in apps]
            if (
                status in criteria["hoStatus"]
                and criteria.get("appInstanceId") in (None, *apps, *instances)
                and _one_of(own, criteria.get("associateId"))
                and _one_of([source_ecgi, target_ecgi], criteria.get("ecgi"))
            ):
                self._send(
                    subscription,
                    {
                        "notificationType": "CellChangeNotification",
                        "timeStamp": now_timestamp(),
                        "associateId": own,
                        "hoStatus": status,
                        "srcEcgi": source_ecgi,
                        "trgEcgi": [target_ecgi],
                    },
                )

    # By time.

    async def _tick(self) -> None:
        while True:
            try:
                self._due()
            except Exception as error:  # one bad subscription must not silence all others
                self._log.error("notifications that were due failed", error=repr(error))
            await asyncio.sleep(_TICK_S)

    def _due(self) -> None:
        with self._store.transaction():
            for subscription in self._subscriptions.all("periodic"):
                # Zero would be as often as possible.
                if time.time() - subscription.progress.get("told_s", 0.0) >= 1.0:
                    self._terminals(subscription, subscription.body["address"])
            for subscription in self._subscriptions.expired():
                self._expire(subscription)
            self._store.execute("DELETE FROM services WHERE expires_s <= ?", (time.time(),))

    def _expire(self, subscription: Subscription) -> None:
        assert subscription.expires_s is not None  # noqa: S101 it has expired
        links: dict[str, Any] = {"subscription": {"href": subscription.url}}
        if subscription.kind == "cell_change":
            links = {"self": subscription.url}
        if subscription.kind in ("mobility_proc", "adj_app_info", "cell_change"):
            self._send(
                subscription,
                {
                    "timeStamp": now_timestamp(),
                    "expiryDeadline": timestamp(subscription.expires_s),
                    "_links": links,
                },
            )
        self._subscriptions.forget(subscription)

    def _send(self, subscription: Subscription, body: dict[str, Any]) -> None:
        self._deliveries.send(subscription.id, subscription.callback, body)


def _terminal(address: str, location: Location | None) -> dict[str, Any]:
    if location is None:
        return {"address": address, "locationRetrievalStatus": "NotRetrieved"}
    return {
        "address": address,
        "locationRetrievalStatus": "Retrieved",
        "currentLocation": location_info(location),
    }


def _one_of(own: list[dict[str, Any]], wanted: list[dict[str, Any]] | None) -> bool:
    """Whether a filter lets this pass; a filter that is empty or left out does."""
    return not wanted or any(item in wanted for item in own)
