"""The alerts ring for what they are for, ask for series that there are, and come with the chart."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from tenantquota.domain.findings import Stage
from tenantquota.metrics import ControllerMetrics
from tests.unit.chart.conftest import CHART, Render

FILE = CHART / "files" / "alerts.yaml"
GROUPS: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())["groups"]
RULES = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
NODE = CHART.parents[1] / "operator" / "tenantquota" / "node"

OF = 'tenant="t",namespace="t",pod="p",container="c"'
MINUTES = 40
# What rings each alert: values of series, one a minute.
TROUBLE: dict[str, Mapping[str, str]] = {
    "TenantQuotaNeighbourHarmed": {'tenantquota_tenant_victims{tenant="t"}': "2x40"},
    "TenantQuotaControllerSilent": {"tenantquota_last_reconcile_timestamp_seconds": "0x40"},
    "TenantQuotaNodeSilent": {'tenantquota_node_report_age_seconds{node="n"}': "0+60x40"},
    "TenantQuotaCpuNearLimit": {
        f"tenantquota_container_cpu_usage_seconds_total{{{OF}}}": "0+27x40",
        f"tenantquota_container_cpu_limit_cores{{{OF}}}": "0.5x40",
    },
    "TenantQuotaMemoryNearLimit": {
        f"tenantquota_container_memory_working_set_bytes{{{OF}}}": "90x40",
        f"tenantquota_container_memory_limit_bytes{{{OF}}}": "100x40",
    },
    "TenantQuotaOutOfMemory": {f"tenantquota_container_oom_kills_total{{{OF}}}": "0x35 1x5"},
    "TenantQuotaLeak": {f'tenantquota_container_leak_confirmed{{{OF},kind="cpu"}}': "1x40"},
    "TenantQuotaLimitsNotSet": {
        'tenantquota_resizes_total{rule="LimitsFollowQuota",outcome="Refused"}': "0+2x40"
    },
    "TenantQuotaReconcilesFail": {'tenantquota_reconciles_total{result="error"}': "0+2x40"},
    "TenantQuotaTicksLate": {'tenantquota_node_last_tick_age_seconds{pod="p"}': "0+60x40"},
    "TenantQuotaEnforced": {'tenantquota_tenant_yielding{tenant="t"}': "1x40"},
    "TenantQuotaRecovered": {'tenantquota_resizes_total{rule="CpuUncapped",outcome="Applied"}': "0x35 1x5"},
}
# The same series while all is well: the controller reconciles, nobody is near a limit.
WELL: Mapping[str, str] = {
    'tenantquota_tenant_victims{tenant="t"}': "0x40",
    "tenantquota_last_reconcile_timestamp_seconds": "0+60x40",
    'tenantquota_node_report_age_seconds{node="n"}': "30x40",
    f"tenantquota_container_cpu_usage_seconds_total{{{OF}}}": "0+6x40",
    f"tenantquota_container_cpu_limit_cores{{{OF}}}": "0.5x40",
    f"tenantquota_container_memory_working_set_bytes{{{OF}}}": "50x40",
    f"tenantquota_container_memory_limit_bytes{{{OF}}}": "100x40",
    f"tenantquota_container_oom_kills_total{{{OF}}}": "1x40",
    'tenantquota_resizes_total{rule="LimitsFollowQuota",outcome="Applied"}': "0+2x40",
    'tenantquota_reconciles_total{result="success"}': "0+2x40",
    'tenantquota_node_last_tick_age_seconds{pod="p"}': "0.5x40",
}


def ringing(directory: Path, series: Mapping[str, str], alert: str, times: int) -> str:
    """What promtool has against it that the alert rings so many times; empty where nothing."""
    if not shutil.which("promtool"):
        pytest.fail("this test needs promtool in PATH: run 'make check', which gets it")
    query = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)'
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": f"{MINUTES - 1}m",
                "exp_samples": [{"labels": "{}", "value": times}],
            }
        ],
    }
    file = directory / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(FILE)], "evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("alert", RULES)
def test_rings_in_trouble(alert: str, tmp_path: Path) -> None:
    assert not ringing(tmp_path, TROUBLE[alert], alert, 1)


@pytest.mark.parametrize("alert", RULES)
def test_is_quiet_while_all_is_well(alert: str, tmp_path: Path) -> None:
    assert not ringing(tmp_path, WELL, alert, 0)


def test_the_controller_is_missed_where_it_has_no_series(tmp_path: Path) -> None:
    assert not ringing(tmp_path, {"up": "1x40"}, "TenantQuotaControllerSilent", 1)


def exposed() -> set[str]:
    """The names of all series of the controller and of the node agents."""
    registry = CollectorRegistry()
    ControllerMetrics(registry)
    names = {sample.name for family in registry.collect() for sample in family.samples}
    families = {family.name for family in registry.collect()}
    names |= families | {f"{name}_total" for name in families} | {"tenantquota_node_report_age_seconds"}
    for path in (NODE / "metrics.py", NODE / "tenant_metrics.py"):
        prefix = ""
        for line in path.read_text().splitlines():
            if found := re.search(r'prefix\b.* = "(\w+)"', line):
                prefix = found[1]
            names |= {f"{prefix}_{name}" for name in re.findall(r'f"{prefix}_(\w+)"', line)}
            names |= set(re.findall(r'"(tenantquota_\w+)"', line))
            if "leak_{stage.value}" in line:
                names |= {f"{prefix}_leak_{stage.value}" for stage in Stage}
    return names


@pytest.mark.parametrize("alert", RULES)
def test_asks_for_series_that_there_are(alert: str) -> None:
    asked = set(re.findall(r"tenantquota_\w+", RULES[alert]["expr"]))
    assert asked
    assert asked <= exposed()


def test_series_of_the_runbook_exist() -> None:
    runbook = (CHART.parents[1] / "docs" / "runbook.md").read_text()
    blocks = re.findall(r"^```promql\n(.*?)^```", runbook, re.DOTALL | re.MULTILINE)
    asked = set(re.findall(r"tenantquota_\w+", "".join(blocks)))
    assert asked
    assert asked <= exposed()


@pytest.mark.parametrize("alert", RULES)
def test_says_how_grave_it_is_and_what_happened(alert: str) -> None:
    assert RULES[alert]["labels"]["severity"] in {"critical", "warning", "info"}
    assert RULES[alert]["annotations"]["summary"].endswith(".")


def test_come_with_the_chart_when_asked_for(render: Render) -> None:
    assert not [manifest for manifest in render() if manifest["kind"] == "PrometheusRule"]
    values = {
        "metrics.prometheusRule.enabled": True,
        "metrics.prometheusRule.labels": {"release": "prometheus"},
    }
    (rules,) = (manifest for manifest in render(values) if manifest["kind"] == "PrometheusRule")
    assert rules["spec"]["groups"] == GROUPS
    assert rules["metadata"]["labels"]["release"] == "prometheus"
