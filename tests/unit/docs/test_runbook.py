"""docs/runbook.md tells of all that the operator can say, and its queries can be asked."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pytest
import yaml

from tenantquota.api.status import Phase
from tenantquota.domain.audit import IN_FORCE
from tenantquota.domain.decisions import Outcome
from tenantquota.domain.leak_restarts import ASKED, EVICTED
from tenantquota.domain.resizes import Rule

REPOSITORY = Path(__file__).parents[3]
OPERATOR = REPOSITORY / "operator" / "tenantquota"
ALERTS = REPOSITORY / "charts" / "tenantquota" / "files" / "alerts.yaml"
RUNBOOK = (REPOSITORY / "docs" / "runbook.md").read_text()

# Who says things in words of this kind: conditions, Events, rules and outcomes of audit records.
SPEAKING = ("domain", "controller", "node")
COMPOUND = re.compile(r"[A-Z][a-z]+(?:[A-Z][a-z]+)+")
SINGLE = re.compile(r"[A-Z][a-z]+")
OTHERS = {
    # kinds and constants of Kubernetes
    "AlreadyExists",
    "DaemonSet",
    "DaemonSets",
    "DoesNotExist",
    "NodeReport",
    "NotFound",
    "NotIn",
    "PodResizeInProgress",
    "ReplicaSet",
    "ResourceQuota",
    "StatefulSet",
    "TenantQuota",
    "TooManyRequests",
    # a pod's state that is told as RequestsWaitForCapacity
    "NoCapacity",
}
JUDGEMENTS = (OPERATOR / "domain" / "judgements.py", OPERATOR / "domain" / "conditions.py")
CONDITIONS = {"Ready", "Enforced", "Isolated", "WithinBudget", "LeakFree"}


def literals(path: Path) -> Iterator[str]:
    """The texts in a module, without its docstrings."""
    tree = ast.parse(path.read_text())
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


def spoken() -> set[str]:
    """All that looks like a reason, a rule or an outcome in the code."""
    modules = [path for folder in SPEAKING for path in sorted((OPERATOR / folder).rglob("*.py"))]
    compound = {text for path in modules for text in literals(path) if COMPOUND.fullmatch(text)}
    single = {text for path in JUDGEMENTS for text in literals(path) if SINGLE.fullmatch(text)}
    return (compound - OTHERS - CONDITIONS) | (single - CONDITIONS)


def alerts() -> list[str]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"]]


def explained(word: str) -> bool:
    """It stands in the first cell of a row of a table, beside what it means."""
    return any(
        f"`{word}`" in row.split("|")[1] and len(row.split("|")) > 3 and row.split("|")[2].strip()
        for row in RUNBOOK.splitlines()
        if row.startswith("|")
    )


def test_what_is_looked_for_is_found() -> None:
    """Else a change of the code's style would make the next tests say nothing."""
    assert {
        "SelectorsOverlap",
        "LimitsInForce",
        "QuotaGone",
        "TenantCapped",
        "NeighbourHarmed",
        "Yields",
    } <= (spoken())
    assert len(alerts()) >= 10


@pytest.mark.parametrize("word", sorted(spoken()))
def test_every_reason_is_explained(word: str) -> None:
    assert explained(word), f"docs/runbook.md has no row for {word}"


@pytest.mark.parametrize("kind", [Rule, Outcome])
def test_every_rule_and_outcome_is_explained(kind: type[StrEnum]) -> None:
    missing = [each.value for each in (*kind,) if not explained(each.value)]
    assert not missing, f"docs/runbook.md has no row for {missing}"


@pytest.mark.parametrize("outcome", [IN_FORCE, ASKED, EVICTED])
def test_every_other_outcome_is_explained(outcome: str) -> None:
    assert explained(outcome)


@pytest.mark.parametrize("phase", [phase.value for phase in Phase])
def test_every_phase_is_explained(phase: str) -> None:
    (paragraph,) = re.findall(r"^## Phase\n\n(.*?)\n\n", RUNBOOK, re.DOTALL | re.MULTILINE)
    assert f"`{phase}`" in paragraph


@pytest.mark.parametrize("condition", sorted(CONDITIONS))
def test_every_condition_has_its_table(condition: str) -> None:
    assert f"\n### {condition}\n" in RUNBOOK


@pytest.mark.parametrize("alert", alerts())
def test_every_alert_is_explained(alert: str) -> None:
    assert explained(alert)


def test_no_alert_is_explained_that_is_none() -> None:
    assert set(re.findall(r"^\| `(TenantQuota\w+)`", RUNBOOK, re.MULTILINE)) == set(alerts())


def test_links_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ")).strip().lower().replace(" ", "-")
        for line in RUNBOOK.splitlines()
        if line.startswith("#")
    }
    for link in re.findall(r"\]\(([^)]+)\)", RUNBOOK):
        if link.startswith("#"):
            assert link[1:] in headings, link
        elif "://" not in link:
            assert (REPOSITORY / "docs" / link).exists(), link


def test_prometheus_understands_the_queries(tmp_path: Path) -> None:
    if not shutil.which("promtool"):
        pytest.fail("this test needs promtool in PATH: run 'make check', which gets it")
    blocks = re.findall(r"^```promql\n(.*?)^```", RUNBOOK, re.DOTALL | re.MULTILINE)
    queries = [line for block in blocks for line in block.splitlines()]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "runbook", "rules": rules}]}))

    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False, timeout=60
    )

    assert queries
    assert done.returncode == 0, done.stdout + done.stderr
