"""The parts of the service, put together, and how requests find them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from .access import Access
from .config import Config
from .drives import Drives
from .etsi.delivery import Deliveries
from .etsi.notifications import Notifications
from .etsi.subscriptions import Subscriptions
from .events import Events
from .files import Files
from .handoffs import HandoffQueue
from .log import Log
from .messages import Predictor
from .mobility import Mobility, Silent
from .prediction import Predictor as A3Predictor
from .prediction import Settings
from .runner import AnsibleRunner, Runner
from .store import Store


@dataclass(frozen=True)
class Service:
    """Everything that requests need."""

    config: Config
    store: Store
    events: Events
    log: Log
    access: Access
    mobility: Mobility
    handoffs: HandoffQueue
    drives: Drives
    files: Files | None
    subscriptions: Subscriptions
    notifications: Notifications
    deliveries: Deliveries

    async def start(self) -> None:
        """Go on with what the last process left."""
        await self.handoffs.start()
        self.deliveries.start()
        self.notifications.start()

    async def stop(self) -> None:
        """End in order; what is not done is kept."""
        self.events.close()
        self.drives.close()
        await self.handoffs.stop()
        await self.notifications.stop()
        await self.deliveries.stop()
        self.store.close()


def build(
    config: Config, runner: Runner | None = None, predictor: Predictor | None = None
) -> Service:
    """A service with its state from the disk; raises ConfigError where its page is not whole."""
    store = Store(config.database)
    events = Events(store, config.limits.events)
    log = Log(events)
    deliveries = Deliveries(config.callbacks, store, log)
    subscriptions = Subscriptions(config, store)
    notifications = Notifications(config, store, subscriptions, deliveries, log)
    mobility = Mobility(config, store, events, notifications, predictor or _predictor(config))
    runner = runner or AnsibleRunner(config.handoffs, config.state_dir / "runs")
    handoffs = HandoffQueue(config, store, events, log, mobility, notifications, runner)
    return Service(
        config=config,
        store=store,
        events=events,
        log=log,
        access=Access(config, store),
        mobility=mobility,
        handoffs=handoffs,
        drives=Drives(store, events, log),
        files=None if config.page is None else Files(config.page),
        subscriptions=subscriptions,
        notifications=notifications,
        deliveries=deliveries,
    )


def _predictor(config: Config) -> Predictor:
    wanted = config.prediction
    if wanted is None:
        return Silent()
    return A3Predictor(
        {name: cell.position for name, cell in config.cells.items()},
        Settings(lead_s=wanted.lead_s, announce_only=wanted.announce_only),
    )


async def service_of(request: Request) -> Service:
    """The service that answers."""
    service = request.app.state.service
    assert isinstance(service, Service)  # noqa: S101 put there by create_app
    return service


Use = Annotated[Service, Depends(service_of)]
