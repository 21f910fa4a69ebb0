"""Metrics for Prometheus, computed from what is kept: they survive a restart."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE

from .service import Service

__all__ = ["CONTENT_TYPE", "render"]


class _Collector:
    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """All families."""
        store = self._service.store
        handoffs = GaugeMetricFamily("rlapp_handoffs", "Handoffs by their state.", labels=["state"])
        for row in store.rows("SELECT state, count(*) AS n FROM handoffs GROUP BY state"):
            handoffs.add_metric([row["state"]], row["n"])
        yield handoffs
        ended = CounterMetricFamily(
            "rlapp_relocations", "Relocations that have ended.", labels=["app", "outcome"]
        )
        downtime = SummaryMetricFamily(
            "rlapp_downtime_seconds", "Downtime of completed relocations.", labels=["app"]
        )
        for row in store.rows(
            "SELECT app, json_extract(record, '$.outcome') AS outcome, count(*) AS n,"
            " count(json_extract(record, '$.downtime_s')) AS measured,"
            " sum(json_extract(record, '$.downtime_s')) AS total_s"
            " FROM relocations GROUP BY app, outcome"
        ):
            ended.add_metric([row["app"], row["outcome"]], row["n"])
            if row["outcome"] == "completed":
                downtime.add_metric([row["app"]], row["measured"], row["total_s"] or 0.0)
        yield ended
        yield downtime
        users = GaugeMetricFamily("rlapp_ues", "UEs in a cell.", labels=["cell"])
        for row in store.rows("SELECT cell, count(*) AS n FROM ues GROUP BY cell"):
            users.add_metric([row["cell"] or "none"], row["n"])
        yield users
        kinds = GaugeMetricFamily("rlapp_subscriptions", "Subscriptions.", labels=["kind"])
        for row in store.rows("SELECT kind, count(*) AS n FROM subscriptions GROUP BY kind"):
            kinds.add_metric([row["kind"]], row["n"])
        yield kinds
        yield GaugeMetricFamily(
            "rlapp_deliveries_waiting",
            "Notifications that are still to be delivered.",
            value=store.count("SELECT count(*) FROM deliveries"),
        )


def render(service: Service) -> bytes:
    """The metrics as text."""
    registry = CollectorRegistry()
    registry.register(_Collector(service))
    return generate_latest(registry)
