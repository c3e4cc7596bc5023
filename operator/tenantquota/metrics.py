"""The controller's Prometheus metrics, on a registry of the caller's."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector


class ControllerMetrics:
    """What ``/metrics`` of the controller tells."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reconciles = Counter(
            "tenantquota_reconciles",
            "Reconciles of a namespace, by result (success, error).",
            ["result"],
            registry=registry,
        )
        self.reconcile_seconds = Histogram(
            "tenantquota_reconcile_duration_seconds",
            "From the first look at a namespace to its status written.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=registry,
        )
        self.last_reconcile = Gauge(
            "tenantquota_last_reconcile_timestamp_seconds",
            "When a reconcile last ended well, Unix time. An idle controller still reconciles each resync.",
            registry=registry,
        )
        self.resizes = Counter(
            "tenantquota_resizes",
            "Resizes of pods, by rule and outcome.",
            ["rule", "outcome"],
            registry=registry,
        )
        self.evictions = Counter(
            "tenantquota_evictions",
            "Evictions of pods that leak, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self.removals = Counter(
            "tenantquota_finished_pods_removed",
            "Removals of finished pods, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self.api_errors = Counter(
            "tenantquota_api_errors",
            "Requests that the API server refused or didn't answer, by what they were for.",
            ["request"],
            registry=registry,
        )
        self.waiting = Gauge(
            "tenantquota_namespaces_waiting", "Namespaces waiting for a reconcile.", registry=registry
        )


class ReportAges(Collector):
    """How old each node's report is at the moment of the scrape; a node that is no more has no series."""

    def __init__(self, ages: Callable[[], Iterable[tuple[str, float]]]) -> None:
        self._ages = ages

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "tenantquota_node_report_age_seconds",
            "Since the last heartbeat of the node's agent came, by the controller's clock.",
            labels=["node"],
        )
        for node, age_seconds in self._ages():
            family.add_metric([node], age_seconds)
        yield family
