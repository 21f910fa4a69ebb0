"""Delivers notifications: kept until they are, tried again, and only where it is allowed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx

from ..config import Callbacks
from ..log import Log
from ..store import Store, dumps

_PARALLEL = 16
_LOOK_S = 0.25
_WAIT_MAX_S = 300.0
# Answers that may be others a little later.
_TRY_AGAIN = frozenset({408, 425, 429})


class Refused(Exception):
    """Nothing is sent to this URL; the message says why."""

    status = 400


class Forbidden(Refused):
    """It names an address to which nothing may be sent."""

    status = 403


class Deliveries:
    """The outbox. Notifications of one subscription are delivered in order, one at a time."""

    def __init__(self, config: Callbacks, store: Store, log: Log) -> None:
        self._config = config
        self._store = store
        self._log = log
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._loop_task: asyncio.Task[None] | None = None
        self._client: httpx.AsyncClient | None = None

    def start(self) -> None:
        """Begin with what an earlier process could not deliver."""
        trust = ssl.create_default_context(cafile=self._config.ca and str(self._config.ca))
        self._client = httpx.AsyncClient(
            verify=trust, timeout=self._config.timeout_s, follow_redirects=False, trust_env=False
        )
        self._loop_task = asyncio.get_running_loop().create_task(self._deliver())

    async def stop(self) -> None:
        """End; what is not delivered is kept."""
        tasks = [task for task in [self._loop_task, *self._under_way.values()] if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client:
            await self._client.aclose()

    async def check(self, url: str) -> None:
        """Raise Refused where nothing would be sent to this URL."""
        await self._resolve(url)

    def send(self, subscription: str, url: str, body: dict[str, Any]) -> None:
        """Put a notification into the outbox."""
        waiting = self._store.count("SELECT count(*) FROM deliveries")
        if waiting >= self._config.queued_max:
            self._log.warning("a notification was dropped: too many wait", url=url)
            return
        self._store.execute(
            "INSERT INTO deliveries (subscription, url, body, due_s) VALUES (?, ?, ?, ?)",
            (subscription, url, dumps(body), time.time()),
        )

    async def _deliver(self) -> None:
        while True:
            rows = self._store.rows(
                "SELECT id, subscription, url, body, attempts, due_s FROM deliveries"
                " WHERE id IN (SELECT min(id) FROM deliveries GROUP BY subscription)"
                " AND due_s <= ? ORDER BY id",
                (time.time(),),
            )
            for row in rows:
                if row["subscription"] in self._under_way or len(self._under_way) >= _PARALLEL:
                    continue
                self._under_way[row["subscription"]] = asyncio.get_running_loop().create_task(
                    self._attempt(row)
                )
            if self._under_way:
                await asyncio.wait(
                    self._under_way.values(),
                    timeout=_LOOK_S,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            else:
                await asyncio.sleep(_LOOK_S)

    async def _attempt(self, row: dict[str, Any]) -> None:
        try:
            await self._try(row)
        finally:
            del self._under_way[row["subscription"]]

    async def _try(self, row: dict[str, Any]) -> None:
        try:
            status = await self._post(row["url"], row["body"])
            error = None if status < 300 else f"the answer was {status}"
            final = status < 500 and status not in _TRY_AGAIN
        except Refused as refused:
            error, final = str(refused), isinstance(refused, Forbidden)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as failure:
            error, final = f"{type(failure).__name__}: {failure}", False
        attempts = row["attempts"] + 1
        if error is None or final or attempts >= self._config.attempts:
            self._store.execute("DELETE FROM deliveries WHERE id = ?", (row["id"],))
            if error is not None:
                self._log.warning("a notification was given up", url=row["url"], error=error)
            return
        wait_s = min(self._config.first_wait_s * 2 ** row["attempts"], _WAIT_MAX_S)
        self._store.execute(
            "UPDATE deliveries SET attempts = ?, due_s = ? WHERE id = ?",
            (attempts, time.time() + wait_s, row["id"]),
        )

    async def _post(self, url: str, body: str) -> int:
        """One POST to the address that was checked: a name may mean another a moment later."""
        assert self._client is not None  # noqa: S101 start() has made it
        address = await self._resolve(url)
        target = httpx.URL(url)
        headers = {"Content-Type": "application/json", "Host": target.netloc.decode("ascii")}
        async with self._client.stream(
            "POST",
            target.copy_with(host=str(address)),
            content=body,
            headers=headers,
            extensions={"sni_hostname": target.raw_host.decode("ascii")},
        ) as response:
            return response.status_code  # the body of the answer is not read

    async def _resolve(self, url: str) -> IPv4Address | IPv6Address:
        """The first address of a URL to which something may be sent."""
        host, port = _target(url)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._config.timeout_s):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError) as error:
            raise Refused(f"{host!a} cannot be resolved") from error
        for *_, end in found:
            address = _plain(str(end[0]))
            if any(address in network for network in self._config.networks):
                return address
        raise Forbidden(f"nothing may be sent to {host!a}: it is in no allowed network")


def _target(url: str) -> tuple[str, int]:
    with contextlib.suppress(ValueError, httpx.InvalidURL):
        parts, parsed = urlsplit(url), httpx.URL(url)
        clean = not (parts.username or parts.password or parts.fragment)
        same = parsed.host.lower() == (parts.hostname or "").lower()
        if parts.scheme in ("http", "https") and parts.hostname and clean and same:
            return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    raise Refused("a callback is an http or https URL without user, password and fragment")


def _plain(address: str) -> IPv4Address | IPv6Address:
    plain = ip_address(address.partition("%")[0])
    return (plain.version == 6 and plain.ipv4_mapped) or plain
