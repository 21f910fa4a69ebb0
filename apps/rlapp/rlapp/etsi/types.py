# ruff: noqa: N815
"""What clients of the ETSI interfaces may send.

Names, and what has to be there, are those of ETSI's OpenAPI files; the bounds are ours. What is not
known is left out, as the files allow it.
"""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ..config import Latitude, Longitude
from ..messages import HoStatus

Text = Annotated[str, StringConstraints(max_length=256)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Count = Annotated[int, Field(ge=0, lt=2**31)]
Uint32 = Annotated[int, Field(ge=0, lt=2**32)]
Metres = Annotated[float, Field(ge=0, le=50_000_000, allow_inf_nan=False)]
UserEvent = Literal["Entering", "Leaving", "Transferring"]
Addresses = Annotated[list[Text], Field(min_length=1, max_length=100)]
# By their numbers in MEC 012, from 1.
HO_STATUS: tuple[HoStatus, ...] = get_args(HoStatus)


class Received(BaseModel):
    """Something that a client sends: types are taken as they are, and never converted."""

    model_config = ConfigDict(strict=True)

    def content(self) -> dict[str, Any]:
        """What was sent, as it is kept and returned."""
        return self.model_dump(exclude_none=True)


class TimeStamp(Received):
    """A point of time."""

    seconds: Uint32
    nanoSeconds: Uint32


def timestamp(at_s: float) -> dict[str, int]:
    """A point of time, as ETSI writes it."""
    seconds = int(at_s)
    return {"seconds": seconds, "nanoSeconds": round((at_s - seconds) * 1e9)}


def now_timestamp() -> dict[str, int]:
    """The present, as ETSI writes it."""
    return timestamp(time.time())


# MEC 013


class CallbackReference(Received):
    """Where notifications go. They are JSON."""

    notifyURL: Url
    callbackData: Annotated[str, StringConstraints(max_length=2000)] | None = None
    notificationFormat: Literal["JSON"] | None = None


class LocationSubscription(Received):
    """What all subscriptions of the Location API have in common."""

    callbackReference: CallbackReference
    clientCorrelator: Text | None = None


class UserTracking(LocationSubscription):
    """Tell when a user enters, leaves or changes access points."""

    address: Text
    userEventCriteria: Annotated[list[UserEvent], Field(max_length=10)] | None = None


class ZonalTraffic(LocationSubscription):
    """Tell which users enter, leave or change access points of a zone."""

    zoneId: Text
    interestRealm: Annotated[list[Text], Field(max_length=100)] | None = None
    userEventCriteria: Annotated[list[UserEvent], Field(max_length=10)] | None = None
    duration: Count | None = None


class ZoneStatus(LocationSubscription):
    """Tell when a zone is crowded, or an access point in it changes its status."""

    zoneId: Text
    numberOfUsersZoneThreshold: Count | None = None
    numberOfUsersAPThreshold: Count | None = None
    operationStatus: (
        Annotated[list[Literal["Serviceable", "Unserviceable", "Unknown"]], Field(max_length=10)]
        | None
    ) = None


class TerminalSubscription(LocationSubscription):
    """What subscriptions to the places of terminals have in common."""

    requester: Text | None = None
    duration: Count | None = None
    frequency: Count


class Circle(TerminalSubscription):
    """Tell when a terminal enters or leaves a circle."""

    address: Addresses
    latitude: Latitude
    longitude: Longitude
    radius: Metres
    trackingAccuracy: Metres
    enteringLeavingCriteria: Literal["Entering", "Leaving"]
    checkImmediate: bool
    count: Count | None = None


class Distance(TerminalSubscription):
    """Tell when terminals come close to others, or go away from them."""

    monitoredAddress: Addresses
    referenceAddress: Annotated[list[Text], Field(max_length=100)] | None = None
    distance: Metres
    trackingAccuracy: Metres
    criteria: Literal[
        "AllWithinDistance", "AnyWithinDistance", "AllBeyondDistance", "AnyBeyondDistance"
    ]
    checkImmediate: bool
    count: Count | None = None


class Periodic(TerminalSubscription):
    """Tell where terminals are, again and again."""

    address: Addresses
    requestedAccuracy: Count


# MEC 021


class AssociateId(Received):
    """A UE, by an address of its traffic."""

    type: Literal["UE_IPv4_ADDRESS", "UE_IPV6_ADDRESS", "NATED_IP_ADDRESS", "GTP_TEID"]
    value: Text


class ServiceConsumer(Received):
    """Who registers a service."""

    appInstanceId: Text | None = None
    mepId: Text | None = None


class Device(Received):
    """A device that a registered service serves."""

    serviceConsumerId: ServiceConsumer
    associateId: AssociateId
    appMobilityServiceLevel: (
        Literal[
            "APP_MOBILITY_NOT_ALLOWED",
            "APP_MOBILITY_WITH_CONFIRMATION",
            "APP_MOBILITY_WITHOUT_CONFIRMATION",
        ]
        | None
    ) = None
    contextTransferState: Literal["NOT_TRANSFERRED", "USER_CONTEXT_TRANSFER_COMPLETED"] | None = (
        None
    )


class Registration(Received):
    """An application mobility service."""

    serviceConsumerId: ServiceConsumer
    deviceInformation: Annotated[list[Device], Field(max_length=100)] | None = None
    expiryTime: Uint32 | None = None


class MobilityFilter(Received):
    """Which relocations are told."""

    appInstanceId: Text | None = None
    associateId: Annotated[list[AssociateId], Field(max_length=100)] | None = None
    mobilityStatus: Annotated[
        list[
            Literal[
                "INTERHOST_MOVEOUT_TRIGGERED",
                "INTERHOST_MOVEOUT_COMPLETED",
                "INTERHOST_MOVEOUT_FAILED",
            ]
        ],
        Field(max_length=10),
    ] = ["INTERHOST_MOVEOUT_TRIGGERED"]


class MobilityProcedure(Received):
    """Tell when apps are relocated."""

    subscriptionType: Literal["MobilityProcedureSubscription"]
    callbackReference: Url
    filterCriteria: MobilityFilter
    expiryDeadline: TimeStamp | None = None


class AdjacentFilter(Received):
    """Whose neighbours are told."""

    appInstanceId: Text | None = None


class AdjacentAppInfo(Received):
    """Tell when an app has instances on other hosts."""

    subscriptionType: Literal["AdjacentAppInfoSubscription"]
    callbackReference: Url
    filterCriteria: AdjacentFilter
    expiryDeadline: TimeStamp | None = None


# MEC 012

AssociateType = Annotated[int, Field(ge=0, le=4)]


class RadioAssociateId(Received):
    """A UE, by an address of its traffic; the type is a number here."""

    type: AssociateType | None = None
    value: Text | None = None


class Plmn(Received):
    """A mobile network."""

    mcc: Text
    mnc: Text


class Ecgi(Received):
    """A cell of a mobile network."""

    plmn: Plmn
    cellId: Text


class CellChangeFilter(Received):
    """Which handoffs are told."""

    appInstanceId: Text | None = None
    associateId: Annotated[list[RadioAssociateId], Field(max_length=100)] | None = None
    ecgi: Annotated[list[Ecgi], Field(max_length=100)] | None = None
    hoStatus: Annotated[list[Annotated[int, Field(ge=1, le=5)]], Field(max_length=10)] = [3]


class CellChangeSubscription(Received):
    """Tell when UEs change their cells."""

    subscriptionType: Literal["CellChangeSubscription"]
    callbackReference: Url
    filterCriteriaAssocHo: CellChangeFilter
    expiryDeadline: TimeStamp | None = None


class CellChangeNotification(Received):
    """A network tells that a UE changes its cell."""

    notificationType: Literal["CellChangeNotification"]
    associateId: Annotated[list[RadioAssociateId], Field(max_length=100)]
    hoStatus: Annotated[int, Field(ge=1, le=5)]
    srcEcgi: Ecgi
    trgEcgi: Annotated[list[Ecgi], Field(min_length=1, max_length=100)]
    timeStamp: TimeStamp | None = None
