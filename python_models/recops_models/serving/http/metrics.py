"""Prometheus metrics of the service."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from recops_models.serving.ingestion import IngestReport
from recops_models.serving.stats import CenterStats

CONTENT_TYPE = CONTENT_TYPE_LATEST

_MILLISECONDS = (
    0.5,
    1,
    2,
    3,
    4,
    5,
    7.5,
    10,
    15,
    20,
    30,
    50,
    75,
    100,
    150,
    250,
    500,
    1000,
    2500,
    5000,
)
_SECONDS = tuple(milliseconds / 1000 for milliseconds in _MILLISECONDS)
_EVENTS = (1, 10, 50, 100, 200, 300, 500, 700, 1024, 4096, 16384)


class ServiceMetrics:
    """Counters, histograms and gauges of one server in their own registry.

    Attributes:
        waiting: events that wait to be written.
        unanswered: scoring requests without a response yet.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.waiting = self.unanswered = 0
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "recops_uic_requests", "Requests answered.", ["path", "status"], registry=registry
        )
        self._seconds = Histogram(
            "recops_uic_request_seconds",
            "Time from a request's headers to the end of its response.",
            ["path"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._events = Counter(
            "recops_uic_events", "Events by outcome.", ["outcome"], registry=registry
        )
        for outcome in ("accepted", "duplicate", "late", "refused"):
            self._events.labels(outcome)  # Exports 0 before the first such event.
        self._refused = Counter(
            "recops_uic_refused_events", "Refused events by field.", ["field"], registry=registry
        )
        self._skipped = Counter(
            "recops_uic_skipped_events", "Skipped sequence numbers.", registry=registry
        )
        self._commit_seconds = Histogram(
            "recops_uic_commit_seconds",
            "Time of a commit, from the validation of its events to the disk flush.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._commit_events = Histogram(
            "recops_uic_commit_events", "Events per commit.", buckets=_EVENTS, registry=registry
        )
        self._candidates = Counter(
            "recops_uic_scored_candidates", "Scored candidates.", registry=registry
        )
        self._unknown_users = Counter(
            "recops_uic_unknown_users",
            "Scoring requests of users without a state.",
            registry=registry,
        )
        Gauge(
            "recops_uic_waiting_events", "Events that wait to be written.", registry=registry
        ).set_function(lambda: self.waiting)
        Gauge(
            "recops_uic_unanswered_scores",
            "Scoring requests without a response yet.",
            registry=registry,
        ).set_function(lambda: self.unanswered)
        self._store_up = Gauge(
            "recops_uic_store_up", "Whether the store answers.", registry=registry
        )
        self._store_users = Gauge(
            "recops_uic_store_users", "Users with a state.", registry=registry
        )
        self._store_events = Gauge(
            "recops_uic_store_events", "Accepted events of the served model.", registry=registry
        )
        self._store_bytes = Gauge(
            "recops_uic_store_bytes", "Size of the store in bytes.", registry=registry
        )
        self._warming = Gauge(
            "recops_uic_warming", "Whether a new model is being warmed up.", registry=registry
        )
        self._model = Info("recops_uic_model", "Served model.", registry=registry)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Record a response with its route, status and latency."""
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def committed(self, reports: Sequence[IngestReport], seconds: float) -> None:
        """Record a commit with the reports on its events."""
        self._commit_seconds.observe(seconds)
        self._commit_events.observe(sum(report.num_events for report in reports))
        for report in reports:
            self._events.labels("accepted").inc(report.accepted)
            self._events.labels("duplicate").inc(report.duplicates)
            self._events.labels("late").inc(report.late)
            self._events.labels("refused").inc(report.num_refused)
            self._skipped.inc(report.gaps)
            for refusal in report.refused:
                self._refused.labels(refusal.field).inc()

    def scored(self, candidates: int, *, known: bool) -> None:
        """Record a successful scoring request."""
        self._candidates.inc(candidates)
        self._unknown_users.inc(not known)

    def text(self, stats: CenterStats | None) -> bytes:
        """Return all metrics in Prometheus' text format.

        Args:
            stats: statistics of the store; None if it does not answer. Then the last known values
                are exported.
        """
        self._store_up.set(stats is not None)
        if stats is not None:
            self._store_users.set(stats.users)
            self._store_events.set(stats.events)
            self._store_bytes.set(stats.store_bytes)
            self._warming.set(stats.warming is not None)
            self._model.info({"version": stats.model_version or ""})
        return generate_latest(self._registry)
