"""A tenant's user can't get out of the quota.

Mallory has the role ``edit`` in the namespace, and more than that: everything on pods' subresources, bindings
and ResourceQuotas, so that it is the policies that refuse and not only RBAC. Attempts on running pods are
real, not dry runs; each must end in a refusal that says why, with nothing changed.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from e2e.harness.wait import wait_until
from tests.integration.kubectl import (
    DECLARED_ANNOTATION,
    TENANT_LABEL,
    Answer,
    Kubectl,
    Manifest,
    full,
    limits,
    pod,
    requests,
    resources,
)

AGENTS: Manifest = {
    "selector": {"matchLabels": {"app": "agent"}},
    "container": {
        "limits": {"cpu": "500m", "memory": "256Mi"},
        "requests": {"cpu": "50m", "memory": "64Mi"},
    },
}
NEIGHBOURS: Manifest = {
    "tenant": "neighbour",
    "selector": {"matchLabels": {"app": "neighbour"}},
    "container": {"limits": {"cpu": "1", "memory": "1Gi"}},
}
WHOLE: Manifest = {
    "container": {"limits": {"cpu": "500m", "memory": "256Mi"}},
    "budget": {"memory": "1Gi", "pods": 4},
}
MOST = full("500m", "256Mi", "50m", "64Mi")
AGENT = {"app": "agent"}

EVERY_SUBRESOURCE: list[Manifest] = [
    {
        "apiGroups": [""],
        "resources": [
            "pods/resize",
            "pods/ephemeralcontainers",
            "pods/status",
            "pods/binding",
            "bindings",
            "resourcequotas",
            "resourcequotas/status",
            "limitranges",
        ],
        "verbs": ["*"],
    }
]


@dataclass(frozen=True)
class Tenant:
    """A namespace in which mallory may edit, with the quotas AGENTS and NEIGHBOURS and a pod of the first."""

    admin: Kubectl
    mallory: Kubectl
    engineer: Kubectl
    namespace: str
    pod_name: str = "victim"

    def pod(self) -> Manifest:
        return self.admin.get("pod", self.pod_name, f"--namespace={self.namespace}")

    def patch_pod(self, patch: object, *options: str, by: Kubectl | None = None) -> Answer:
        """A strategic merge patch by mallory, unless the options say another ``--type``."""
        return (by or self.mallory)(
            "patch",
            "pod",
            self.pod_name,
            f"--namespace={self.namespace}",
            f"--patch={json.dumps(patch)}",
            *options,
        )

    def resize(self, of: Manifest, container: str = "c0", by: Kubectl | None = None, *options: str) -> Answer:
        containers = "initContainers" if container.startswith("i") else "containers"
        patch = {"spec": {containers: [{"name": container, "resources": of}]}}
        return self.patch_pod(patch, "--subresource=resize", *options, by=by)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """The pod is afterwards what it was before, whatever happens to its status."""
        before = essence(self.pod())
        yield
        assert essence(self.pod()) == before


def essence(of: Manifest) -> Manifest:
    """What a quota holds of a pod."""
    spec, metadata = of["spec"], of["metadata"]
    return {
        "resources": resources(of),
        "pod-level": spec.get("resources"),
        "ephemeral": spec.get("ephemeralContainers"),
        "labels": metadata.get("labels"),
        "annotations": metadata.get("annotations"),
    }


def namesake(namespace: str) -> str:
    return f"system:serviceaccount:{namespace}:tenantquota-controller"


def give_roles(kubectl: Kubectl, namespace: str) -> None:
    """mallory and the controller's namesake: edit and EVERY_SUBRESOURCE; engineer: the editor's, too."""
    rbac = "rbac.authorization.k8s.io"

    def binding(user: str, kind: str, role: str) -> Manifest:
        return {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": f"{user}-{role}".replace(":", "-"), "namespace": namespace},
            "subjects": [{"kind": "User", "name": user, "apiGroup": rbac}],
            "roleRef": {"apiGroup": rbac, "kind": kind, "name": role},
        }

    users = ("mallory", "engineer", namesake(namespace))
    kubectl.apply(
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "Role",
            "metadata": {"name": "every-subresource", "namespace": namespace},
            "rules": EVERY_SUBRESOURCE,
        },
        *(binding(user, "ClusterRole", "edit") for user in users),
        *(binding(user, "Role", "every-subresource") for user in users),
        binding("engineer", "ClusterRole", "tenantquota:editor"),
    )


@pytest.fixture(scope="module")
def tenant(kubectl: Kubectl, new_namespace: Callable[[str], str]) -> Tenant:
    namespace = new_namespace("evasion")
    give_roles(kubectl, namespace)
    kubectl.give_quota(namespace, AGENTS, "agents")
    kubectl.give_quota(namespace, NEIGHBOURS, "neighbours")
    kubectl.wait_for_admission(namespace)
    tenant = Tenant(
        admin=kubectl,
        mallory=kubectl.impersonating("mallory"),
        engineer=kubectl.impersonating("engineer"),
        namespace=namespace,
    )
    victim = pod(
        namespace,
        full("400m", "128Mi", "20m", "32Mi"),
        {},
        init=[{"restartPolicy": "Always", "resources": limits("100m", "64Mi")}],
        labels=AGENT | {"team": "blue"},
        name=tenant.pod_name,
    )
    tenant.mallory.create(victim).ok()
    return tenant


# Creating pods: whatever they ask for is lowered.

LOWERED: dict[str, Manifest] = {
    "limits above the quota": {"containers": [full("64", "64Gi", "32", "32Gi")]},
    "giant limits": {"containers": [full("9E", "9E", "9E", "9E")]},
    "limits of zero, which mean none": {"containers": [limits("0", "0")]},
    "Guaranteed, which could not be resized": {"containers": [full("500m", "256Mi", "500m", "256Mi")]},
    "BestEffort, which can not be limited later": {"containers": [{}]},
    "only requests": {"containers": [requests("64", "64Gi")]},
    "a big init container": {"containers": [limits("100m", "64Mi")], "init": [limits("64", "64Gi")]},
    "a big sidecar": {
        "containers": [limits("100m", "64Mi")],
        "init": [{"restartPolicy": "Always", "resources": limits("64", "64Gi")}],
    },
    "a second container": {"containers": [limits("100m", "64Mi"), limits("64", "64Gi")]},
    "as if it were a static pod": {
        "containers": [limits("64", "64Gi")],
        "annotations": {"kubernetes.io/config.mirror": "hash"},
        "nodeName": "any",
    },
    "with a note of its own of what was declared": {
        "containers": [limits("64", "64Gi")],
        "annotations": {DECLARED_ANNOTATION: '{"c0":{"limits":{"cpu":"64","memory":"64Gi"}}}'},
    },
}


@pytest.mark.parametrize("attempt", LOWERED.values(), ids=LOWERED.keys())
def test_created_pod_is_lowered(tenant: Tenant, attempt: Manifest) -> None:
    fields = {key: value for key, value in attempt.items() if key != "containers"}
    manifest = pod(tenant.namespace, *attempt["containers"], labels=AGENT, **fields)

    created = tenant.mallory.try_create(manifest).manifest

    assert created["status"]["qosClass"] == "Burstable"
    for of in resources(created).values():
        assert of["limits"] in (MOST["limits"], limits("100m", "64Mi")["limits"])
        assert of["requests"]["cpu"] in ("50m", "0")
        assert of["requests"]["memory"] in ("64Mi", "0")


def test_created_pod_without_a_name_is_lowered(tenant: Tenant) -> None:
    manifest = pod(tenant.namespace, limits("64", "64Gi"), labels=AGENT)
    manifest["metadata"]["generateName"] = manifest["metadata"].pop("name")

    assert resources(tenant.mallory.try_create(manifest).manifest) == {"c0": MOST}


WORKLOADS: dict[str, Manifest] = {
    "Deployment": {"apiVersion": "apps/v1", "spec": {"selector": {"matchLabels": {"from": "Deployment"}}}},
    "StatefulSet": {
        "apiVersion": "apps/v1",
        "spec": {"selector": {"matchLabels": {"from": "StatefulSet"}}, "serviceName": "none"},
    },
    "ReplicationController": {"apiVersion": "v1", "spec": {"selector": {"from": "ReplicationController"}}},
    "Job": {"apiVersion": "batch/v1", "spec": {}},
}


@pytest.mark.parametrize("kind", WORKLOADS)
def test_pods_of_a_workload_are_lowered(tenant: Tenant, kind: str) -> None:
    """These pods are real: a controller of kube-system makes them."""
    template = pod(tenant.namespace, limits("64", "64Gi"), labels=AGENT | {"from": kind})
    if kind == "Job":
        template["spec"]["restartPolicy"] = "Never"
    workload = {
        **WORKLOADS[kind],
        "kind": kind,
        "metadata": {"name": f"greedy-{kind.lower()}", "namespace": tenant.namespace},
    }
    workload["spec"] = {
        **workload["spec"],
        "template": {"metadata": {"labels": template["metadata"]["labels"]}, "spec": template["spec"]},
    }
    tenant.mallory.create(workload).ok()
    try:
        selector = f"--selector=from={kind}"
        namespace = f"--namespace={tenant.namespace}"

        def made() -> list[Manifest]:
            pods: list[Manifest] = tenant.admin.get("pods", namespace, selector)["items"]
            return pods

        (of,) = wait_until(made, what=f"the pod of a {kind}", deadline_seconds=60)
    finally:
        tenant.admin("delete", kind, workload["metadata"]["name"], namespace, "--cascade=foreground").ok()

    assert resources(of) == {"c0": MOST}


# Creating pods: what can't be lowered is refused.


def test_pod_level_resources_are_refused(tenant: Tenant) -> None:
    """They would let the containers share out more than their own limits."""
    manifest = pod(tenant.namespace, {}, labels=AGENT, resources=limits("4", "4Gi"))

    message = tenant.mallory.try_create(manifest).refusal()

    assert f"is not allowed under TenantQuota {tenant.namespace}/agents" in message
    assert "remove it and set resources of containers instead" in message


def test_another_tenants_label_is_refused(tenant: Tenant) -> None:
    manifest = pod(tenant.namespace, {}, labels=AGENT | {TENANT_LABEL: "neighbour"})

    message = tenant.mallory.try_create(manifest).refusal()

    assert f"is neighbour, but this pod belongs to tenant {tenant.namespace}" in message
    assert "remove the label from the manifest" in message


@pytest.mark.parametrize(
    "note",
    [
        "",
        "{",
        "null",
        '{"c0":{"limits":{"cpu":64}}}',
        '{"c0":[]}',
        '{"c0":{}} {',
        '{"c0":{"limits":{"gpu":"1"}}}',
    ],
)
def test_misleading_note_of_what_was_declared_is_refused(tenant: Tenant, note: str) -> None:
    """The controller reads this annotation."""
    manifest = pod(tenant.namespace, {}, labels=AGENT, annotations={DECLARED_ANNOTATION: note})

    message = tenant.mallory.try_create(manifest).refusal()

    assert "is not what TenantQuota writes: remove it from the manifest" in message


# Resizing a running pod.

RAISED: dict[str, tuple[str, Manifest, str]] = {
    "cpu": (
        "c0",
        {"limits": {"cpu": "501m"}},
        "container c0 asks for limits.cpu 501m where at most 500m is allowed",
    ),
    "memory": (
        "c0",
        {"limits": {"memory": "257Mi"}},
        "container c0 asks for limits.memory 257Mi where at most 256Mi is allowed",
    ),
    "both": ("c1", limits("64", "64Gi"), "container c1 asks for limits.cpu 64 where at most 500m is allowed"),
    "a sidecar": ("i0", limits("2"), "container i0 asks for limits.cpu 2 where at most 500m is allowed"),
    "cpu request, for weight": (
        "c0",
        requests("399m"),
        "container c0 asks for requests.cpu 399m where at most 50m is allowed",
    ),
    "memory request": (
        "c0",
        requests(memory="127Mi"),
        "container c0 asks for requests.memory 127Mi where at most 64Mi is allowed",
    ),
    "cpu to zero, which means none": (
        "c0",
        limits("0") | requests("0"),
        "container c0 asks for limits.cpu 0, which means no limit",
    ),
    "memory to zero, which means none": (
        "c0",
        limits(memory="0") | requests(memory="0"),
        "container c0 asks for limits.memory 0, which means no limit",
    ),
}


@pytest.mark.parametrize(("container", "to", "reason"), RAISED.values(), ids=RAISED.keys())
def test_resize_above_the_quota_is_refused(tenant: Tenant, container: str, to: Manifest, reason: str) -> None:
    with tenant.unchanged():
        message = tenant.resize(to, container).refusal()

    assert reason in message
    assert f"ask for less, or have TenantQuota {tenant.namespace}/agents raised by who may edit it" in message


@pytest.mark.parametrize("how", ["strategic", "merge", "json", "apply", "replace"])
def test_resize_is_refused_however_it_is_sent(tenant: Tenant, how: str) -> None:
    current = tenant.pod()
    containers = current["spec"]["containers"]
    with tenant.unchanged():
        containers[0]["resources"]["limits"]["cpu"] = "64"
        if how == "json":
            path = "/spec/containers/0/resources/limits/cpu"
            patch: object = [{"op": "replace", "path": path, "value": "64"}]
            answer = tenant.patch_pod(patch, "--subresource=resize", "--type=json")
        elif how == "replace":
            del current["metadata"]["resourceVersion"]  # the kubelet may write the pod's status meanwhile
            answer = tenant.mallory("replace", "--subresource=resize", "--filename=-", stdin=current)
        elif how == "apply":
            partial = {
                **{key: current[key] for key in ("apiVersion", "kind")},
                "metadata": {"name": tenant.pod_name, "namespace": tenant.namespace},
                "spec": {"containers": [{"name": "c0", "resources": {"limits": {"cpu": "64"}}}]},
            }
            options = ["--server-side", "--force-conflicts", "--subresource=resize", "--filename=-"]
            answer = tenant.mallory("apply", *options, stdin=partial)
        else:
            patch = {"spec": {"containers": containers}}
            answer = tenant.patch_pod(patch, "--subresource=resize", f"--type={how}")

    assert "asks for limits.cpu 64 where at most 500m is allowed" in answer.refusal()


def test_removing_limits_is_refused(tenant: Tenant) -> None:
    with tenant.unchanged():
        remove = [{"op": "remove", "path": "/spec/containers/0/resources/limits"}]
        message = tenant.patch_pod(remove, "--subresource=resize", "--type=json").refusal()

    assert "limits" in message
    assert "container c0 has no limits.cpu" in message or "cannot be removed" in message


def test_removing_requests_is_refused(tenant: Tenant) -> None:
    with tenant.unchanged():
        remove = [{"op": "remove", "path": "/spec/containers/0/resources/requests"}]
        message = tenant.patch_pod(remove, "--subresource=resize", "--type=json").refusal()

    assert "container c0 asks for requests.cpu" in message or "cannot be removed" in message


def test_becoming_guaranteed_is_refused(tenant: Tenant) -> None:
    """A Guaranteed pod's limits could no longer be resized alone. This is Kubernetes' own rule."""
    equal = full("40m", "64Mi", "40m", "64Mi")
    with tenant.unchanged():
        patch = {
            "spec": {
                "containers": [{"name": name, "resources": equal} for name in ("c0", "c1")],
                "initContainers": [{"name": "i0", "resources": equal}],
            }
        }
        message = tenant.patch_pod(patch, "--subresource=resize").refusal()

    assert "Pod QOS Class may not change as a result of resizing" in message


def test_pod_level_resize_is_refused(tenant: Tenant) -> None:
    with tenant.unchanged():
        patch = {"spec": {"resources": limits("4", "4Gi")}}
        message = tenant.patch_pod(patch, "--subresource=resize").refusal()

    assert "spec.resources (pod-level resources) of pod victim can not be changed" in message


def test_resources_do_not_change_without_the_subresource(tenant: Tenant) -> None:
    with tenant.unchanged():
        patch = {"spec": {"containers": [{"name": "c0", "resources": limits("64")}]}}
        message = tenant.patch_pod(patch).refusal()

    assert "pod updates may not change fields" in message


# Labels and annotations of a running pod.

RELABELLED: dict[str, tuple[Manifest, str]] = {
    "out of the quota": ({"app": "free"}, "with these labels pod victim would leave TenantQuota"),
    "out by removal": ({"app": None}, "with these labels pod victim would leave TenantQuota"),
    "into another tenant's quota": ({"app": "neighbour"}, "with these labels pod victim would"),
    "another tenant's label": ({TENANT_LABEL: "neighbour"}, "can not be changed: leave them as they are"),
    "no tenant label": ({TENANT_LABEL: None}, "can not be changed: leave them as they are"),
    "one more of ours": ({"tenantquota.io/exempt": "true"}, "can not be changed: leave them as they are"),
}


@pytest.mark.parametrize(("labels", "reason"), RELABELLED.values(), ids=RELABELLED.keys())
def test_relabelling_is_refused(tenant: Tenant, labels: Manifest, reason: str) -> None:
    with tenant.unchanged():
        message = tenant.patch_pod({"metadata": {"labels": labels}}).refusal()

    assert reason in message


@pytest.mark.parametrize("labels", [labels for labels, _ in RELABELLED.values()], ids=RELABELLED.keys())
def test_relabelling_through_the_status_is_refused(tenant: Tenant, labels: Manifest) -> None:
    with tenant.unchanged():
        message = tenant.patch_pod({"metadata": {"labels": labels}}, "--subresource=status").refusal()

    assert "can not be changed through pods/status" in message


@pytest.mark.parametrize("note", ['{"c0":{"limits":{"cpu":"64"}}}', None], ids=["forged", "removed"])
@pytest.mark.parametrize("subresource", [(), ("--subresource=status",)], ids=["pod", "status"])
def test_changing_what_was_declared_is_refused(
    tenant: Tenant, note: str | None, subresource: tuple[str, ...]
) -> None:
    with tenant.unchanged():
        patch = {"metadata": {"annotations": {DECLARED_ANNOTATION: note}}}
        message = tenant.patch_pod(patch, *subresource).refusal()

    assert "tenantquota.io/" in message
    assert "can not be changed" in message


def test_joining_a_quota_later_is_refused(tenant: Tenant) -> None:
    """A pod of no quota would be counted to a tenant that it never belonged to."""
    free = pod(tenant.namespace, {}, labels={"app": "free"}, name="joiner")
    tenant.mallory.create(free).ok()
    joiner = Tenant(tenant.admin, tenant.mallory, tenant.engineer, tenant.namespace, "joiner")

    with joiner.unchanged():
        message = joiner.patch_pod({"metadata": {"labels": {"app": "neighbour"}}}).refusal()

    assert f"would join TenantQuota {tenant.namespace}/neighbours" in message


@pytest.mark.parametrize("path", ["pods/unbound/binding", "bindings"])
@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"app": "free"}},
        {"labels": {TENANT_LABEL: "neighbour"}},
        {"annotations": {DECLARED_ANNOTATION: "{}"}},
    ],
    ids=str,
)
def test_metadata_through_a_binding_is_refused(tenant: Tenant, path: str, metadata: Manifest) -> None:
    """Whoever binds a pod to a node writes the Binding's labels and annotations onto it."""
    unbound = Tenant(tenant.admin, tenant.mallory, tenant.engineer, tenant.namespace, "unbound")
    manifest = pod(
        tenant.namespace, {}, labels=AGENT, name="unbound", schedulerName="nobody", schedulingGates=[]
    )
    tenant.mallory("apply", "--server-side", "--filename=-", stdin=manifest).ok()
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "unbound", "namespace": tenant.namespace, **metadata},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "any"},
    }

    with unbound.unchanged():
        url = f"/api/v1/namespaces/{tenant.namespace}/{path}"
        message = tenant.mallory("create", f"--raw={url}", "--filename=-", stdin=binding).refusal()

    assert "leave them out of the Binding" in message


# Ephemeral containers.


def test_ephemeral_container_is_refused(tenant: Tenant) -> None:
    with tenant.unchanged():
        message = tenant.mallory(
            "debug", tenant.pod_name, f"--namespace={tenant.namespace}", "--image=any", "--", "true"
        ).refusal()

    assert "ephemeral containers run outside the limits of pod victim" in message
    assert "use kubectl exec" in message


# What holds the quota.


def policies(kubectl: Kubectl, kind: str) -> list[str]:
    listed = kubectl("get", kind, "--selector=app.kubernetes.io/name=tenantquota", "--output=name").ok()
    return listed.stdout.split()


def test_editing_the_quota_is_refused(tenant: Tenant) -> None:
    namespace = f"--namespace={tenant.namespace}"
    patch = '{"spec": {"container": {"limits": {"cpu": "64"}}}}'

    message = tenant.mallory(
        "patch", "tenantquota", "agents", namespace, "--type=merge", "-p", patch
    ).refusal()

    assert 'User "mallory" cannot patch resource "tenantquotas"' in message
    assert tenant.admin.get("tenantquota", "agents", namespace)["spec"]["container"] == AGENTS["container"]


def test_switching_the_quota_to_observe_is_refused(tenant: Tenant) -> None:
    namespace = f"--namespace={tenant.namespace}"
    quota = tenant.admin.get("tenantquota", "agents", namespace)
    quota["spec"]["enforcement"] = "Observe"

    message = tenant.mallory("replace", "--filename=-", stdin=quota).refusal()

    assert 'User "mallory" cannot update resource "tenantquotas"' in message
    assert tenant.admin.get("tenantquota", "agents", namespace)["spec"]["enforcement"] == "Enforce"


def test_deleting_the_quota_is_refused(tenant: Tenant) -> None:
    namespace = f"--namespace={tenant.namespace}"

    for what in ("agents", "--all"):
        message = tenant.mallory("delete", "tenantquota", what, namespace).refusal()
        assert 'User "mallory" cannot delete resource "tenantquotas"' in message
    assert "deletionTimestamp" not in tenant.admin.get("tenantquota", "agents", namespace)["metadata"]


def test_editing_the_status_is_refused(tenant: Tenant) -> None:
    namespace = f"--namespace={tenant.namespace}"
    patch = '{"status": {"tenant": "mallorys"}}'
    options = ["--subresource=status", "--type=merge", "-p", patch]

    message = tenant.mallory("patch", "tenantquota", "agents", namespace, *options).refusal()

    assert 'User "mallory" cannot get resource "tenantquotas/status"' in message
    asked = tenant.mallory("auth", "can-i", "patch", "tenantquotas", "--subresource=status", namespace)
    assert asked.stdout.strip() == "no"
    assert tenant.admin.get("tenantquota", "agents", namespace).get("status", {}).get("tenant") != "mallorys"


def test_a_second_more_generous_quota_is_refused(tenant: Tenant) -> None:
    generous = {
        "apiVersion": "tenantquota.io/v1alpha1",
        "kind": "TenantQuota",
        "metadata": {"name": "generous", "namespace": tenant.namespace},
        "spec": {"container": {"limits": {"cpu": "64", "memory": "64Gi"}}},
    }

    message = tenant.mallory.create(generous).refusal()

    assert 'User "mallory" cannot create resource "tenantquotas"' in message
    assert tenant.admin("get", "tenantquota", "generous", f"--namespace={tenant.namespace}").code != 0


POLICY_KINDS = [
    "mutatingadmissionpolicy",
    "mutatingadmissionpolicybinding",
    "validatingadmissionpolicy",
    "validatingadmissionpolicybinding",
]


@pytest.mark.parametrize("kind", POLICY_KINDS)
def test_touching_the_policies_is_refused(tenant: Tenant, kind: str) -> None:
    before = tenant.admin.get(*policies(tenant.admin, kind))
    for name in policies(tenant.admin, kind):
        for verb, arguments in {
            "delete": [],
            "patch": ["--type=merge", '-p={"metadata":{"labels":{"a":"b"}}}'],
        }.items():
            message = tenant.mallory(verb, name, *arguments).refusal()
            assert 'User "mallory" cannot' in message
    assert tenant.admin.get(*policies(tenant.admin, kind)) == before


def test_removing_the_crd_is_refused(tenant: Tenant) -> None:
    message = tenant.mallory("delete", "crd", "tenantquotas.tenantquota.io").refusal()

    assert 'User "mallory" cannot delete resource "customresourcedefinitions"' in message
    tenant.admin.get("crd", "tenantquotas.tenantquota.io")


def test_removing_the_crd_by_accident_is_refused(tenant: Tenant) -> None:
    """Even the administrator's: with the policies in place, no pod could be created without it."""
    message = tenant.admin("delete", "crd", "tenantquotas.tenantquota.io", "--dry-run=server").refusal()

    assert "first helm uninstall" in message


def test_another_namespace_is_no_way_out(tenant: Tenant) -> None:
    new = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{tenant.namespace}-free"}}

    message = tenant.mallory.create(new).refusal()

    assert 'User "mallory" cannot create resource "namespaces"' in message
    assert tenant.admin("get", "namespace", new["metadata"]["name"]).code != 0


@pytest.mark.parametrize(
    "label", ["kubernetes.io/metadata.name=kube-system", "tenantquota.io/exempt=true"], ids=["name", "exempt"]
)
def test_relabelling_the_namespace_is_refused(tenant: Tenant, label: str) -> None:
    before = tenant.admin.get("namespace", tenant.namespace)["metadata"]["labels"]

    message = tenant.mallory("label", "--overwrite", "namespace", tenant.namespace, label).refusal()

    assert 'User "mallory" cannot patch resource "namespaces"' in message
    assert tenant.admin.get("namespace", tenant.namespace)["metadata"]["labels"] == before


def test_the_name_label_of_the_namespace_stays_its_name(tenant: Tenant) -> None:
    """By this label the policies tell system namespaces. The API server sets it, whoever asks."""
    label = "kubernetes.io/metadata.name"

    tenant.admin("label", "--overwrite", "namespace", tenant.namespace, f"{label}=kube-system").ok()

    assert tenant.admin.get("namespace", tenant.namespace)["metadata"]["labels"][label] == tenant.namespace


def test_taking_the_editors_role_is_refused(tenant: Tenant) -> None:
    """Whoever may edit quotas is exempt, so mallory must not make herself an editor."""
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "mine", "namespace": tenant.namespace},
        "subjects": [{"kind": "User", "name": "mallory", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "tenantquota:editor",
        },
    }

    message = tenant.mallory.create(binding).refusal()

    assert 'User "mallory" cannot create resource "rolebindings"' in message
    asked = tenant.mallory("auth", "can-i", "update", "tenantquotas", f"--namespace={tenant.namespace}")
    assert asked.stdout.strip() == "no"


def test_taking_the_controllers_place_is_refused(tenant: Tenant) -> None:
    """The controller's ServiceAccount is exempt, so mallory must not get its token."""
    message = tenant.mallory(
        "create", "token", "tenantquota-controller", "--namespace=tenantquota-system"
    ).refusal()

    assert 'User "mallory" cannot create resource "serviceaccounts/token"' in message


def test_taking_the_controllers_name_is_refused(tenant: Tenant) -> None:
    """A ServiceAccount of the same name in her own namespace is easily made; it has mallory's roles here."""
    with tenant.unchanged():
        message = tenant.resize(
            limits("64"), by=tenant.admin.impersonating(namesake(tenant.namespace))
        ).refusal()

    assert "asks for limits.cpu 64 where at most 500m is allowed" in message


# The ResourceQuota by which the controller holds spec.budget.


@pytest.fixture(scope="module")
def budgeted(kubectl: Kubectl, new_namespace: Callable[[str], str]) -> Tenant:
    """A namespace with a budget, and its ResourceQuota as the controller makes it."""
    namespace = new_namespace("budget")
    give_roles(kubectl, namespace)
    kubectl.give_quota(namespace, WHOLE)
    owner = kubectl.get("tenantquota", "agents", f"--namespace={namespace}")
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {
                "name": "tenantquota-agents",
                "namespace": namespace,
                "labels": {"app.kubernetes.io/managed-by": "tenantquota"},
                "ownerReferences": [
                    {
                        "apiVersion": "tenantquota.io/v1alpha1",
                        "kind": "TenantQuota",
                        "name": "agents",
                        "uid": owner["metadata"]["uid"],
                        "controller": True,
                    }
                ],
            },
            "spec": {"hard": {"limits.memory": "1Gi", "pods": "4"}},
        }
    )
    return Tenant(kubectl, kubectl.impersonating("mallory"), kubectl.impersonating("engineer"), namespace)


OWNED_TOUCHED: dict[str, list[str]] = {
    "raised": ["patch", "--type=merge", '-p={"spec":{"hard":{"pods":"1000"}}}'],
    "emptied": ["patch", "--type=json", '-p=[{"op":"remove","path":"/spec/hard"}]'],
    "disowned": ["patch", "--type=merge", '-p={"metadata":{"labels":{"app.kubernetes.io/managed-by":null}}}'],
    "its usage set back": [
        "patch",
        "--subresource=status",
        "--type=merge",
        '-p={"status":{"used":{"pods":"0"}}}',
    ],
    "deleted": ["delete"],
}


@pytest.mark.parametrize("attempt", OWNED_TOUCHED.values(), ids=OWNED_TOUCHED.keys())
def test_touching_the_owned_resource_quota_is_refused(budgeted: Tenant, attempt: list[str]) -> None:
    verb, *options = attempt
    namespace = f"--namespace={budgeted.namespace}"
    before = budgeted.admin.get("resourcequota", "tenantquota-agents", namespace)

    message = budgeted.mallory(verb, "resourcequota", "tenantquota-agents", namespace, *options).refusal()

    assert "belongs to the TenantQuota of this namespace" in message
    assert "have spec.budget changed by who may edit the TenantQuota" in message
    after = budgeted.admin.get("resourcequota", "tenantquota-agents", namespace)
    assert after["spec"] == before["spec"]
    assert after["metadata"]["labels"] == before["metadata"]["labels"]


def test_deleting_all_resource_quotas_spares_the_owned_one(budgeted: Tenant) -> None:
    namespace = f"--namespace={budgeted.namespace}"

    message = budgeted.mallory("delete", "resourcequotas", "--all", namespace).refusal()

    assert "belongs to the TenantQuota of this namespace" in message
    budgeted.admin.get("resourcequota", "tenantquota-agents", namespace)


def test_making_a_resource_quota_that_looks_owned_is_refused(budgeted: Tenant) -> None:
    forged = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {
            "name": "forged",
            "namespace": budgeted.namespace,
            "labels": {"app.kubernetes.io/managed-by": "tenantquota"},
        },
        "spec": {"hard": {"pods": "1000"}},
    }

    message = budgeted.mallory.create(forged).refusal()

    assert "belongs to the TenantQuota of this namespace" in message
    assert budgeted.admin("get", "resourcequota", "forged", f"--namespace={budgeted.namespace}").code != 0


# What stays allowed.


def test_a_tenant_may_go_lower(tenant: Tenant) -> None:
    answer = tenant.resize(
        full("100m", "64Mi", "10m", "16Mi"), "c0", None, "--dry-run=server", "--output=json"
    )

    assert resources(answer.manifest)["c0"] == full("100m", "64Mi", "10m", "16Mi")


def test_a_tenant_may_go_up_to_the_quota(tenant: Tenant) -> None:
    tenant.resize(MOST, "c0", None, "--dry-run=server").ok()


def test_a_tenant_may_change_other_labels_and_annotations(tenant: Tenant) -> None:
    patch = {"metadata": {"labels": {"team": "red", "new": "x"}, "annotations": {"note": "y"}}}

    tenant.patch_pod(patch, "--dry-run=server").ok()


def test_a_status_may_be_written(tenant: Tenant) -> None:
    """As kubelets do, and CNIs with their annotations."""
    patch = {"metadata": {"annotations": {"cni/ip": "10.0.0.1"}}, "status": {"message": "fine"}}

    tenant.patch_pod(patch, "--subresource=status", "--dry-run=server").ok()


def test_a_tenant_may_delete_pods_and_own_resource_quotas(budgeted: Tenant, tenant: Tenant) -> None:
    namespace = f"--namespace={budgeted.namespace}"
    budgeted.mallory("create", "quota", "own", "--hard=configmaps=10", namespace).ok()
    budgeted.mallory("delete", "quota", "own", namespace).ok()

    tenant.mallory.create(pod(tenant.namespace, {}, labels=AGENT, name="gone")).ok()
    tenant.mallory("delete", "pod", "gone", f"--namespace={tenant.namespace}", "--wait=false").ok()


def test_who_may_edit_quotas_is_exempt_on_running_pods(tenant: Tenant) -> None:
    dry = "--dry-run=server"

    tenant.resize(limits("2"), "c0", tenant.engineer, dry).ok()
    tenant.patch_pod({"metadata": {"labels": {"app": "free"}}}, dry, by=tenant.engineer).ok()
    tenant.patch_pod(
        {"spec": {"ephemeralContainers": [{"name": "debug", "image": "any"}]}},
        "--subresource=ephemeralcontainers",
        dry,
        by=tenant.engineer,
    ).ok()


def test_who_may_edit_quotas_is_not_exempt_at_creation(tenant: Tenant) -> None:
    created = tenant.engineer.try_create(pod(tenant.namespace, limits("64", "64Gi"), labels=AGENT)).manifest

    assert resources(created) == {"c0": MOST}


def test_a_tenant_sees_the_quota(tenant: Tenant) -> None:
    seen = tenant.mallory.get("tenantquota", "agents", f"--namespace={tenant.namespace}")

    assert seen["spec"]["container"] == AGENTS["container"]


def test_evasion_leaves_unselected_pods_alone(tenant: Tenant) -> None:
    free = pod(tenant.namespace, full("64", "64Gi", "1", "1Gi"), labels={"app": "free"})

    created = tenant.mallory.try_create(free)

    assert resources(created.manifest) == {"c0": full("64", "64Gi", "1", "1Gi")}
