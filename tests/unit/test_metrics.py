"""The controller's metrics that are more than a counter."""

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from tenantquota.metrics import ReportAges


def test_each_nodes_report_has_its_age_for_as_long_as_there_is_one() -> None:
    ages = {"n1": 1.5, "n2": 40.0}
    registry = CollectorRegistry()
    registry.register(ReportAges(ages.items))
    assert 'tenantquota_node_report_age_seconds{node="n2"} 40.0' in generate_latest(registry).decode()
    del ages["n2"]
    page = generate_latest(registry).decode()
    assert 'node="n1"' in page
    assert "n2" not in page
