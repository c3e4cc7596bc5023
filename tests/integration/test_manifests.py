"""Wrong TenantQuotas are refused by the API server, with a message that says what to change."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.kubectl import Answer, Kubectl, Manifest

Submit = Callable[[Manifest], Answer]

ABSENT = object()
GOOD: Manifest = {"container": {"limits": {"cpu": "500m", "memory": "512Mi"}}}


def changed(spec: Manifest, change: Manifest) -> Manifest:
    """``spec`` with ``change`` merged in; ABSENT takes a field away."""
    result = dict(spec)
    for key, value in change.items():
        if value is ABSENT:
            result.pop(key)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = changed(result[key], value)
        else:
            result[key] = value
    return result


def limits(**of: Any) -> Manifest:
    return {"container": {"limits": of}}


def requests(**of: Any) -> Manifest:
    return {"container": {"requests": of}}


def match(**labels: Any) -> Manifest:
    return {"selector": {"matchLabels": labels}}


def condition(**of: Any) -> Manifest:
    return {"selector": {"matchExpressions": [of]}}


CPU_FORM = "write CPU in cores or thousandths of a core, such as 2 or 500m"
CPU_LEAST = "must be at least 10m (CPU is in cores; 500m is half a core)"
CPU_MOST = "must be at most 1024 cores (CPU is in cores; 500m is half a core)"
MEMORY_FORM = "write memory in bytes, such as 256Mi or 2Gi"
MEMORY_LEAST = "must be at least 16Mi (memory is in bytes: 512Mi are mebibytes, a small m means thousandths)"
MEMORY_MOST = "must be at most 64Ti (memory is in bytes)"

WRONG = {
    "cpu in words": (limits(cpu="lots"), "spec.container.limits.cpu", CPU_FORM),
    "cpu with an unknown unit": (limits(cpu="200K"), "spec.container.limits.cpu", CPU_FORM),
    "cpu with a decimal comma": (limits(cpu="0,5"), "spec.container.limits.cpu", CPU_FORM),
    "cpu empty": (limits(cpu=""), "spec.container.limits.cpu", CPU_FORM),
    "cpu negative": (limits(cpu="-1"), "spec.container.limits.cpu", CPU_LEAST),
    "cpu zero": (limits(cpu=0), "spec.container.limits.cpu", CPU_LEAST),
    "cpu below what the kernel takes": (limits(cpu="1m"), "spec.container.limits.cpu", CPU_LEAST),
    "cpu in memory's unit": (limits(cpu="512Mi"), "spec.container.limits.cpu", CPU_MOST),
    "cpu giant": (limits(cpu="9" * 30), "spec.container.limits.cpu", CPU_MOST),
    "cpu giant exponent": (limits(cpu="1e400"), "spec.container.limits.cpu", CPU_MOST),
    "cpu a float": (limits(cpu=0.5), "spec.container.limits.cpu", "must be of type integer,string"),
    "cpu a boolean": (limits(cpu=True), "spec.container.limits.cpu", "must be of type integer,string"),
    "cpu a list": (limits(cpu=["1"]), "spec.container.limits.cpu", "must be of type integer,string"),
    "cpu too long": (
        limits(cpu="0" * 40 + "1"),
        "spec.container.limits.cpu",
        "may not be more than 32 bytes",
    ),
    "memory with two letters": (limits(memory="512MB"), "spec.container.limits.memory", MEMORY_FORM),
    "memory in lower case": (limits(memory="512mi"), "spec.container.limits.memory", MEMORY_FORM),
    "memory negative": (limits(memory="-1Gi"), "spec.container.limits.memory", MEMORY_LEAST),
    "memory zero": (limits(memory="0"), "spec.container.limits.memory", MEMORY_LEAST),
    "memory in thousandths": (limits(memory="512m"), "spec.container.limits.memory", MEMORY_LEAST),
    "memory without a unit": (limits(memory=512), "spec.container.limits.memory", MEMORY_LEAST),
    "memory giant": (limits(memory="1Ei"), "spec.container.limits.memory", MEMORY_MOST),
    "cpu request over limit": (
        requests(cpu="600m"),
        "spec.container",
        "requests.cpu is above limits.cpu: lower the request or raise the limit",
    ),
    "memory request over limit": (
        requests(memory="1Gi"),
        "spec.container",
        "requests.memory is above limits.memory: lower the request or raise the limit",
    ),
    "cpu request zero": (requests(cpu=0), "spec.container.requests.cpu", "must be at least 1m"),
    "memory request negative": (
        requests(memory="-1Mi"),
        "spec.container.requests.memory",
        "must be at least 1Mi",
    ),
    "no spec.container": ({"container": ABSENT}, "spec.container", "Required value"),
    "no limits": ({"container": {"limits": ABSENT}}, "spec.container.limits", "Required value"),
    "no cpu limit": (limits(cpu=ABSENT), "spec.container.limits.cpu", "Required value"),
    "no memory limit": (limits(memory=ABSENT), "spec.container.limits.memory", "Required value"),
    "cpu limit null": (limits(cpu=None), "spec.container.limits.cpu", "Required value"),
    "unknown field in spec": ({"containers": {}}, "", 'unknown field "spec.containers"'),
    "unknown resource": (limits(gpu=1), "", 'unknown field "spec.container.limits.gpu"'),
    "unknown budget": ({"budget": {"disk": 1}}, "", 'unknown field "spec.budget.disk"'),
    "cpu budget under one container": (
        {"budget": {"cpu": "100m"}},
        "spec",
        "not even one container fits: raise budget.cpu or lower container.limits.cpu",
    ),
    "memory budget under one container": (
        {"budget": {"memory": "128Mi"}},
        "spec",
        "not even one container fits: raise budget.memory or lower container.limits.memory",
    ),
    "no pods at all": ({"budget": {"pods": 0}}, "spec.budget.pods", "greater than or equal to 1"),
    "too many pods": ({"budget": {"pods": 10_001}}, "spec.budget.pods", "less than or equal to 10000"),
    "pods a fraction": ({"budget": {"pods": 1.5}}, "spec.budget.pods", "must be of type integer"),
    "pods a text": ({"budget": {"pods": "10"}}, "spec.budget.pods", "must be of type integer"),
    "selector empty": ({"selector": {}}, "spec.selector", "leave spec.selector out to select every pod"),
    "selector with empty matchLabels": (
        {"selector": {"matchLabels": {}}},
        "spec.selector",
        "leave spec.selector out to select every pod",
    ),
    "selector without matchLabels": ({"selector": {"app": "a"}}, "", 'unknown field "spec.selector.app"'),
    "selector with an unknown operator": (
        condition(key="app", operator="Gt", values=["1"]),
        "spec.selector.matchExpressions[0].operator",
        'supported values: "In", "NotIn", "Exists", "DoesNotExist"',
    ),
    "selector In without values": (
        condition(key="app", operator="In"),
        "spec.selector.matchExpressions[0]",
        "In and NotIn need at least one value",
    ),
    "selector Exists with values": (
        condition(key="app", operator="Exists", values=["a"]),
        "spec.selector.matchExpressions[0]",
        "Exists and DoesNotExist take none",
    ),
    "selector with a wrong label name": (
        match(**{"-a b": "x"}),
        "spec.selector",
        "matchLabels has a key that is no label name, such as app or example.com/role",
    ),
    "selector expression with a wrong label name": (
        condition(key="a b", operator="Exists"),
        "spec.selector.matchExpressions[0].key",
        "is no label name: write one such as app or example.com/role",
    ),
    "selector with a wrong label value": (
        match(app="x y"),
        "spec.selector.matchLabels",
        "is no label value: letters, digits, '-', '_' or '.'",
    ),
    "selector with a boolean": (match(app=True), "spec.selector.matchLabels.app", "must be of type string"),
    "selector by the tenant label": (
        match(**{"tenantquota.io/tenant": "acme"}),
        "spec.selector",
        "are set by the quota itself: select by labels of the pods' own",
    ),
    "tenant in capitals": (
        {"tenant": "Acme"},
        "spec.tenant",
        "is no tenant name: lower-case letters, digits",
    ),
    "tenant empty": ({"tenant": ""}, "spec.tenant", "is no tenant name: lower-case letters, digits"),
    "tenant too long": ({"tenant": "a" * 64}, "spec.tenant", "may not be more than 63 bytes"),
    "weight zero": ({"weight": 0}, "spec.weight", "greater than or equal to 1"),
    "weight too big": ({"weight": 10_001}, "spec.weight", "less than or equal to 10000"),
    "weight a fraction": ({"weight": 1.5}, "spec.weight", "must be of type integer"),
    "enforcement in lower case": (
        {"enforcement": "enforce"},
        "spec.enforcement",
        'supported values: "Enforce", "Observe"',
    ),
    "a slow leak faster than a fast one": (
        {"leaks": {"memorySlowPerMinute": "60Mi"}},
        "spec.leaks",
        "memorySlowPerMinute is above memoryFastPerMinute",
    ),
    "a leak of nothing": (
        {"leaks": {"memorySlowPerMinute": 0}},
        "spec.leaks.memorySlowPerMinute",
        "must be at least 256Ki",
    ),
    "a leak in words": (
        {"leaks": {"memoryFastPerMinute": "much"}},
        "spec.leaks.memoryFastPerMinute",
        MEMORY_FORM,
    ),
    "no files a minute": (
        {"leaks": {"openFilesPerMinute": 0}},
        "spec.leaks.openFilesPerMinute",
        "greater than or equal to 1",
    ),
    "more than a whole core": (
        {"leaks": {"cpuPercent": 101}},
        "spec.leaks.cpuPercent",
        "less than or equal to 100",
    ),
    "a runaway at once": (
        {"leaks": {"cpuSeconds": 29}},
        "spec.leaks.cpuSeconds",
        "greater than or equal to 30",
    ),
}

RIGHT = {
    "the least": {},
    "integers": limits(cpu=2, memory=1_073_741_824),
    "every form of quantity": limits(cpu="0.3333", memory="1.5Gi"),
    "exponents": limits(cpu="1e1", memory="1e9"),
    "the least and the most": limits(cpu="10m", memory="64Ti"),
    "requests equal to limits": requests(cpu="500m", memory="512Mi"),
    "only one request": requests(memory="64Mi"),
    "a budget of exactly one container": {"budget": {"cpu": "500m", "memory": "512Mi", "pods": 1}},
    "labels": match(**{"app.kubernetes.io/name": "agent", "empty": ""}),
    "every operator": {
        "selector": {
            "matchExpressions": [
                {"key": "app", "operator": "In", "values": ["a", "b"]},
                {"key": "tier", "operator": "NotIn", "values": ["system"]},
                {"key": "agent", "operator": "Exists"},
                {"key": "debug", "operator": "DoesNotExist"},
            ]
        }
    },
    "leaks by default": {"leaks": {}},
    "every threshold of leaks": {
        "leaks": {
            "memoryFastPerMinute": "1Gi",
            "memorySlowPerMinute": "1Gi",
            "openFilesPerMinute": 1,
            "processesPerMinute": 100_000,
            "cpuPercent": 100,
            "cpuSeconds": 86_400,
        }
    },
    "all the rest": {"tenant": "acme-2", "weight": 10_000, "enforcement": "Observe"},
}


@pytest.fixture(scope="module")
def submit(kubectl: Kubectl, new_namespace: Callable[[str], str]) -> Submit:
    """Submits a TenantQuota with the spec ``GOOD`` and a change; nothing is stored."""
    namespace = new_namespace("manifests")

    def submit(change: Manifest) -> Answer:
        return kubectl.try_create(
            {
                "apiVersion": "tenantquota.io/v1alpha1",
                "kind": "TenantQuota",
                "metadata": {"name": "agents", "namespace": namespace},
                "spec": changed(GOOD, change),
            }
        )

    return submit


@pytest.mark.parametrize(("change", "field", "advice"), WRONG.values(), ids=WRONG.keys())
def test_wrong_manifest_is_refused(submit: Submit, change: Manifest, field: str, advice: str) -> None:
    message = submit(change).refusal()

    assert field in message
    assert advice in message


@pytest.mark.parametrize("change", RIGHT.values(), ids=RIGHT.keys())
def test_right_manifest_is_accepted(submit: Submit, change: Manifest) -> None:
    accepted = submit(change).manifest

    assert accepted["spec"]["weight"] == change.get("weight", 100)
    assert accepted["spec"]["enforcement"] == change.get("enforcement", "Enforce")


def test_what_is_wrong_only_together_is_refused_by_apply_too(
    kubectl: Kubectl, new_namespace: Callable[[str], str]
) -> None:
    """A change to one field is checked against the fields that stay."""
    namespace = new_namespace("manifests")
    kubectl.give_quota(namespace, {**GOOD, "budget": {"memory": "1Gi"}})

    patch = '{"spec": {"container": {"limits": {"memory": "2Gi"}}}}'
    answer = kubectl(
        "patch", "tenantquota", "agents", f"--namespace={namespace}", "--type=merge", "-p", patch
    )

    assert "raise budget.memory or lower container.limits.memory" in answer.refusal()
    kept = kubectl.get("tenantquota", "agents", f"--namespace={namespace}")
    assert kept["spec"]["container"]["limits"]["memory"] == "512Mi"


@pytest.mark.parametrize(
    "path",
    [
        "tenantquota",
        "tenantquota.spec",
        "tenantquota.spec.selector",
        "tenantquota.spec.selector.matchExpressions",
        "tenantquota.spec.container",
        "tenantquota.spec.container.limits",
        "tenantquota.spec.container.requests",
        "tenantquota.spec.budget",
        "tenantquota.status",
        "tenantquota.status.hold",
        "tenantquota.status.conditions",
    ],
)
def test_explain_describes_every_field(kubectl: Kubectl, path: str) -> None:
    described, _, fields = kubectl("explain", path).ok().stdout.partition("FIELDS:\n")

    assert "<empty>" not in described
    for field in fields.strip().split("\n\n"):
        name, _, text = field.partition("\n")
        assert len(text.split()) >= 2, f"{path}: {name.strip()} has no description"
        assert "<no description>" not in text, f"{path}: {name.strip()} has no description"


def test_short_name_and_columns(kubectl: Kubectl, new_namespace: Callable[[str], str]) -> None:
    namespace = new_namespace("manifests")
    kubectl.give_quota(namespace, GOOD)

    header, row = kubectl("get", "tq", f"--namespace={namespace}").ok().stdout.splitlines()

    assert header.split() == ["NAME", "TENANT", "CPU", "MEMORY", "PODS", "PHASE", "AGE"]
    assert row.split()[0] == "agents"
    assert "500m" in row
    assert "512Mi" in row
