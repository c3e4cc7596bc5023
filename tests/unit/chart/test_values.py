"""Wrong values are refused with a message that names them, and the README tells of all values."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenantquota.api.tenantquota import TenantQuota

CHART = Path(__file__).parents[3] / "charts" / "tenantquota"

WRONG = {
    "misspelt": ({"image.tagg": "1"}, "at '/image': additional properties 'tagg' not allowed"),
    "unknown at the top": ({"replicas": 2}, "additional properties 'replicas' not allowed"),
    "image with a tag in its name": ({"image.repository": "repo:tag/x"}, "at '/image/repository'"),
    "number for a tag": ({"image.tag": 1.10}, "at '/image/tag': got number, want string"),
    "unknown pull policy": (
        {"image.pullPolicy": "Sometimes"},
        "value must be one of 'Always', 'IfNotPresent', 'Never'",
    ),
    "pull secret by its bare name": ({"imagePullSecrets": ["registry"]}, "at '/imagePullSecrets/0'"),
    "unknown log level": (
        {"controller.logLevel": "verbose"},
        "value must be one of 'debug', 'info', 'warning', 'error'",
    ),
    "no resync": ({"controller.resyncSeconds": 0}, "at '/controller/resyncSeconds': minimum: got 0, want 1"),
    "duration with a unit": ({"controller.resyncSeconds": "15s"}, "got string, want number"),
    "no concurrency": ({"controller.concurrency": 0}, "at '/controller/concurrency': minimum: got 0, want 1"),
    "reports too often": ({"node.reportSeconds": 1}, "at '/node/reportSeconds': minimum: got 1, want 5"),
    "agent on some nodes": ({"node.enabled": "some"}, "at '/node/enabled': got string, want boolean"),
    "annotation that is no text": (
        {"controller.podAnnotations": {"a": 1}},
        "at '/controller/podAnnotations/a'",
    ),
    "wrong namespace": (
        {"admission.excludedNamespaces": ["Kube_System"]},
        "'Kube_System' does not match pattern",
    ),
    "namespaces as a text": ({"admission.excludedNamespaces": "a,b"}, "got string, want array"),
    "switch as a text": ({"crds.install": "yes"}, "at '/crds/install': got string, want boolean"),
    "interval without a unit": (
        {"metrics.serviceMonitor.interval": "30"},
        "at '/metrics/serviceMonitor/interval'",
    ),
}


@pytest.mark.parametrize(("values", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_value_is_refused(helm: Any, values: dict[str, Any], message: str) -> None:
    assert message in helm.refusal(values)


def test_kubernetes_that_is_too_old_is_refused(helm: Any) -> None:
    message = helm.refusal({}, "--kube-version=1.35.9")

    assert "requires kubeVersion: >=1.36.0-0" in message
    helm.template({}, "--kube-version=1.36.0")
    helm.template({}, "--kube-version=1.36.1-gke.100")


def leaves(values: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Every value by its dotted name."""
    result = {}
    for key, value in values.items():
        name = f"{path}{key}"
        if isinstance(value, dict) and value:
            result |= leaves(value, f"{name}.")
        else:
            result[name] = value
    return result


DEFAULTS = leaves(yaml.safe_load((CHART / "values.yaml").read_text()))


def test_schema_knows_every_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    for name in DEFAULTS:
        node = schema
        for part in name.split("."):
            if "$ref" in node:
                break
            assert part in node["properties"], name
            node = node["properties"][part]


def test_readme_tells_of_every_value_and_its_default() -> None:
    rows = re.findall(
        r"^\| `([\w.]+)` \| `(.*?)` \| (.+) \|$", (CHART / "README.md").read_text(), re.MULTILINE
    )
    told = {name: yaml.safe_load(default) for name, default, _ in rows}

    assert told == DEFAULTS
    assert all(len(text.split()) >= 3 for _, _, text in rows)


def test_every_value_has_a_comment() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()

    for index, line in enumerate(lines):
        if re.match(r"^\w+:", line):
            following = next((of for of in lines[index + 1 :] if of.strip()), "")
            above = lines[index - 1].startswith("#")
            assert above or following.startswith("  "), f"{line} says nothing about itself"


def test_notes_tell_what_to_do_next(helm: Any) -> None:
    done = helm("install", "tenantquota", str(CHART), "--namespace=elsewhere", "--dry-run=client")

    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:")[2]
    assert "runs in elsewhere" in notes
    assert "kind: TenantQuota" in notes
    assert "kubectl get tenantquotas -A" in notes
    assert "helm test tenantquota -n elsewhere" in notes
    assert "--clusterrole=tenantquota:editor" in notes


def test_quota_in_the_notes_is_right(helm: Any) -> None:
    """Whoever copies it must get no error."""
    done = helm("install", "tenantquota", str(CHART), "--namespace=elsewhere", "--dry-run=client")
    (manifest,) = re.findall(r"<<YAML\n(.*?)\n\s*YAML", done.stdout, re.DOTALL)

    quota = TenantQuota.model_validate(yaml.safe_load(manifest))
    assert quota.spec.container.limits.memory == "512Mi"
