"""kubectl as a person runs it, since what it prints is part of what is tested."""

import json
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from e2e.harness.target import Target
from e2e.harness.wait import NotYet, wait_until

Manifest = dict[str, Any]

TENANT_LABEL = "tenantquota.io/tenant"
DECLARED_ANNOTATION = "tenantquota.io/declared-resources"
IMAGE = "registry.k8s.io/pause:3.10"
"""Never pulled here: admission is over before a node has a say."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What kubectl said."""

    command: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    def ok(self) -> "Answer":
        """
        Raises:
            AssertionError: when kubectl failed, with what it said.
        """
        assert self.code == 0, f"{' '.join(self.command)}: {self.stderr}"
        return self

    @property
    def manifest(self) -> Manifest:
        """The object that it printed as JSON."""
        parsed: Manifest = json.loads(self.ok().stdout)
        return parsed

    def refusal(self) -> str:
        """The message of a refusal.

        Raises:
            AssertionError: when it was allowed.
        """
        assert self.code != 0, f"{' '.join(self.command)} was allowed: {self.stdout}"
        return self.stderr.strip()


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl in one context, as one user (the kubeconfig's own where none is named)."""

    target: Target
    user: str | None = None

    def __call__(self, *arguments: str, stdin: Manifest | Sequence[Manifest] | None = None) -> Answer:
        """Runs it; with ``stdin`` the arguments should say ``-f -``. Never raises for a refusal."""
        command = [*self.target.kubectl, *([f"--as={self.user}"] if self.user else [])]
        manifests = [stdin] if isinstance(stdin, dict) else list(stdin or [])
        done = subprocess.run(
            [*command, *arguments],
            input="\n---\n".join(map(json.dumps, manifests)),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Answer(("kubectl", *arguments), done.returncode, done.stdout, done.stderr)

    def impersonating(self, user: str) -> "Kubectl":
        return Kubectl(self.target, user)

    def get(self, *arguments: str) -> Manifest:
        return self("get", *arguments, "--output=json").manifest

    def create(self, manifest: Manifest, *options: str) -> Answer:
        return self("create", "--filename=-", "--output=json", *options, stdin=manifest)

    def try_create(self, manifest: Manifest) -> Answer:
        """Through all of admission and validation, but nothing is stored."""
        return self.create(manifest, "--dry-run=server")

    def apply(self, *manifests: Manifest) -> None:
        self("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=manifests).ok()

    def give_quota(self, namespace: str, spec: Manifest, name: str = "agents") -> None:
        """Applies a TenantQuota; ``wait_for_admission`` then says when it is in force."""
        self.apply(
            {
                "apiVersion": "tenantquota.io/v1alpha1",
                "kind": "TenantQuota",
                "metadata": {"name": name, "namespace": namespace},
                "spec": spec,
            }
        )

    def wait_for_admission(self, namespace: str) -> None:
        """Until the API server's policies know every TenantQuota that was applied to the namespace before.

        They read quotas from caches of their own, one for mutating and one for validating policies, and see
        changes in order: so once they know one more quota, they know the earlier ones.
        """
        mark = f"mark-{secrets.token_hex(3)}"
        labels = {"tenantquota-test-mark": mark}
        spec = {"selector": {"matchLabels": labels}, "container": {"limits": {"cpu": "1", "memory": "1Gi"}}}
        self.give_quota(namespace, spec, mark)
        marked = pod(namespace, {}, labels=labels)
        refused = pod(namespace, {}, labels=labels, resources={"limits": {"cpu": "1"}})

        def known() -> bool:
            answer = self.try_create(marked)
            if TENANT_LABEL not in answer.manifest["metadata"].get("labels", {}):
                raise NotYet("the mutating policy doesn't know it")
            if "pod-level resources" not in self.try_create(refused).stderr:
                raise NotYet("the validating policies don't know it")
            return True

        try:
            wait_until(known, what=f"admission to know the quotas of {namespace}", deadline_seconds=30)
        finally:
            self("delete", "tenantquota", mark, f"--namespace={namespace}", "--wait=false").ok()


def pod(
    namespace: str,
    *containers: Manifest,
    init: Sequence[Manifest] = (),
    labels: Manifest | None = None,
    annotations: Manifest | None = None,
    name: str = "agent",
    **spec: Any,
) -> Manifest:
    """A pod with containers ``c0``, ``c1``, … and init containers ``i0``, …: each given by its resources or
    by more of its fields, ``resources`` among them."""

    def container(kind: str, index: int, fields: Manifest) -> Manifest:
        fields = fields if "resources" in fields else {"resources": fields}
        return {"name": f"{kind}{index}", "image": IMAGE, "imagePullPolicy": "IfNotPresent", **fields}

    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels or {},
            "annotations": annotations or {},
        },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "initContainers": [container("i", index, fields) for index, fields in enumerate(init)],
            "containers": [container("c", index, fields) for index, fields in enumerate(containers)],
            **spec,
        },
    }


def resources(of: Manifest) -> dict[str, Manifest]:
    """The resources of each container of a pod, by name."""
    spec = of["spec"]
    return {
        container["name"]: container.get("resources", {})
        for container in [*spec["containers"], *spec.get("initContainers", [])]
    }


def limits(cpu: str | None = None, memory: str | None = None) -> Manifest:
    """A container's resources with only limits."""
    return {
        "limits": {key: value for key, value in {"cpu": cpu, "memory": memory}.items() if value is not None}
    }


def requests(cpu: str | None = None, memory: str | None = None) -> Manifest:
    """A container's resources with only requests."""
    return {"requests": limits(cpu, memory)["limits"]}


def full(cpu_limit: str, memory_limit: str, cpu_request: str, memory_request: str) -> Manifest:
    """A container's resources with both."""
    return limits(cpu_limit, memory_limit) | requests(cpu_request, memory_request)
