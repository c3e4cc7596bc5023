"""Whose a container is."""

from typing import Any

import pytest

from tenantquota.domain.labels import Selector, requirement
from tenantquota.node.containers import Owner
from tenantquota.node.informer import Index
from tenantquota.node.owners import Pod, Quota, TenantsPods, read_pod, read_quota
from tests.unit.node.apiserver import Manifest, pod, quota


def acme(name: str, uid: str = "u1") -> Owner:
    return Owner("acme", "ns-acme", f"agent-{uid}", name, starting=not name)


def requesting(cpu: str, **fields: Any) -> Manifest:
    return {"name": "of", "resources": {"requests": {"cpu": cpu}}, **fields}


class TestPods:
    def test_containers_of_every_kind(self) -> None:
        manifest = pod("u1", "a")
        manifest["status"] |= {
            "initContainerStatuses": [{"name": "sidecar", "containerID": "containerd://b"}],
            "ephemeralContainerStatuses": [{"name": "debug", "containerID": "cri-o://c"}],
        }

        uid, found = read_pod(manifest)

        assert uid == "u1"
        assert (found.namespace, found.name, found.labels) == ("ns-acme", "agent-u1", {"app": "agent"})
        assert found.containers == {"a": "c0", "b": "sidecar", "c": "debug"}

    def test_a_pod_that_the_kubelet_said_nothing_of(self) -> None:
        manifest = pod("u1", "a")
        del manifest["status"]

        _, found = read_pod(manifest)

        assert found.containers == {}
        assert not found.settled

    @pytest.mark.parametrize(
        ("state", "restart_policy", "settled"),
        [
            ({"running": {}}, None, True),
            ({"waiting": {"reason": "CrashLoopBackOff"}}, None, False),
            ({"terminated": {"exitCode": 1}}, None, False),
            ({"terminated": {"exitCode": 0}}, "Always", False),
            ({"terminated": {"exitCode": 1}}, "OnFailure", False),
            ({"terminated": {"exitCode": 0}}, "OnFailure", True),
            ({"terminated": {"exitCode": 1}}, "Never", True),
            ({}, "Never", False),
        ],
    )
    def test_settled_is_when_no_container_is_awaited(
        self, state: Any, restart_policy: str | None, settled: bool
    ) -> None:
        manifest = pod("u1", "a", "b")
        manifest["status"]["containerStatuses"][1]["state"] = state
        if restart_policy:
            manifest["spec"]["restartPolicy"] = restart_policy

        assert read_pod(manifest)[1].settled is settled

    @pytest.mark.parametrize(
        ("conditions", "resizing"),
        [
            (None, False),
            ([{"type": "Ready", "status": "True"}], False),
            ([{"type": "PodResizePending", "status": "True"}], False),
            ([{"type": "PodResizeInProgress", "status": "False"}], False),
            ([{"type": "Ready", "status": "False"}, {"type": "PodResizeInProgress", "status": "True"}], True),
        ],
    )
    def test_resizing_is_what_the_kubelet_works_on(self, conditions: Any, resizing: bool) -> None:
        manifest = pod("u1", "a")
        manifest["status"]["conditions"] = conditions
        joined = Joined(quota("q1", "acme"))
        joined.put(manifest)
        owner = joined.owner_of("u1", "a")

        assert owner is not None
        assert owner.resizing is resizing

    @pytest.mark.parametrize(
        ("state", "starting"),
        [
            ({"running": {"startedAt": "2026-01-01T00:00:00Z"}}, False),
            ({"terminated": {"exitCode": 1}}, False),
            ({"waiting": {"reason": "ContainerCreating"}}, True),
            (None, True),
        ],
    )
    def test_a_container_starts_until_the_kubelet_says_that_it_runs(self, state: Any, starting: bool) -> None:
        manifest = pod("u1", "a", "b")
        manifest["status"]["containerStatuses"][0]["state"] = state
        joined = Joined(quota("q1", "acme"))
        joined.put(manifest)
        owner = joined.owner_of("u1", "a")

        assert owner is not None
        assert owner.starting is starting

    @pytest.mark.parametrize(
        "manifest",
        [
            None,
            [],
            "pod",
            {},
            {"metadata": {}, "spec": {}},
            {"metadata": None, "spec": None},
            pod("u1", "a") | {"spec": {}},
            pod("u1", "a") | {"status": {"containerStatuses": ["x"]}},
            pod("u1", "a") | {"metadata": {"uid": "u1", "name": "a", "namespace": "b", "labels": ["x"]}},
        ],
    )
    def test_what_is_no_pod(self, manifest: Any) -> None:
        with pytest.raises(ValueError, match="not a pod"):
            read_pod(manifest)


class TestRequests:
    """As the kubelet sums them up."""

    @pytest.mark.parametrize(
        ("spec", "milli"),
        [
            ({"containers": [{"name": "a"}]}, 0),
            ({"containers": [requesting("50m"), requesting("0.1")]}, 150),
            ({"containers": [requesting("50m")], "initContainers": [requesting("1")]}, 1000),
            (
                {
                    "containers": [requesting("50m")],
                    "initContainers": [requesting("20m", restartPolicy="Always"), requesting("40m")],
                },
                70,
            ),
            ({"containers": [requesting("50m")], "overhead": {"cpu": "10m"}}, 60),
            ({"containers": [requesting("50m")], "resources": {"requests": {"cpu": "2"}}}, 2000),
        ],
    )
    def test_of_a_pod(self, spec: Manifest, milli: int) -> None:
        assert read_pod(pod("u1", "a") | {"spec": spec})[1].cpu_request_milli == milli

    def test_what_the_kubelet_shows_beyond_them(self) -> None:
        """A weight that was raised shows as a request; one that was lowered as less, or not at all."""
        joined = Joined(quota("q1", "acme"))
        for uid, shown in (("u1", "196m"), ("u2", "2m"), ("u3", None)):
            manifest = pod(uid, "a") | {"spec": {"containers": [requesting("50m")]}}
            resources = {"requests": {"cpu": shown}} if shown else {"requests": {"memory": "1Mi"}}
            joined.put(manifest | {"status": manifest["status"] | {"resources": resources}})
        owner = joined.owner_of("u1", "a")
        assert owner is not None
        assert owner.cpu_excess_milli == joined.owners.cpu_excess_milli() == 146

    def test_of_memory(self) -> None:
        spec = {
            "containers": [{"name": "a", "resources": {"requests": {"memory": "64Mi", "cpu": "1"}}}],
            "initContainers": [{"name": "b", "resources": {"requests": {"memory": "100Mi"}}}],
            "overhead": {"memory": "1Mi"},
        }
        assert read_pod(pod("u1", "a") | {"spec": spec})[1].memory_request_bytes == 101 * 2**20
        ended = pod("u1", "a") | {"spec": spec}
        ended["status"] = ended["status"] | {"phase": "Failed"}
        assert read_pod(ended)[1].memory_request_bytes == 0


class TestQuotas:
    def test_whether_its_tenant_is_held(self) -> None:
        manifest = quota("q1", "acme")
        assert not read_quota(manifest)[1].held
        manifest["status"] = {"hold": {"reason": "CpuOverBudget"}}
        assert read_quota(manifest)[1].held
        joined = Joined(manifest)
        joined.put(pod("u1", "a"))
        owner = joined.owner_of("u1", "a")
        assert owner is not None
        assert owner.held

    def test_whether_its_tenant_is_latency_sensitive(self) -> None:
        manifest = quota("q1", "acme")
        assert not read_quota(manifest)[1].latency_sensitive
        manifest["spec"]["latencySensitive"] = True
        joined = Joined(manifest)
        joined.put(pod("u1", "a"))
        owner = joined.owner_of("u1", "a")
        assert owner is not None
        assert owner.latency_sensitive

    def test_what_matters_of_it(self) -> None:
        manifest = quota("q1", "acme")
        manifest["spec"] |= {
            "tenant": "Acme Inc",
            "enforcement": "Observe",
            "selector": {
                "matchLabels": {"app": "agent"},
                "matchExpressions": [
                    {"key": "tier", "operator": "In", "values": ["a", "b"]},
                    {"key": "debug", "operator": "DoesNotExist"},
                ],
            },
        }
        tier, debug = requirement("tier", "In", ("a", "b")), requirement("debug", "DoesNotExist")

        assert read_quota(manifest) == (
            "q1",
            Quota("ns-acme", "Acme Inc", Selector({"app": "agent"}, (tier, debug)), enforces=False),
        )

    def test_defaults(self) -> None:
        assert read_quota(quota("q1", "acme")) == ("q1", Quota("ns-acme", "ns-acme", None, enforces=True))

    @pytest.mark.parametrize(
        "manifest",
        [
            None,
            [],
            {"metadata": {}, "spec": {}},
            quota("q1", "acme") | {"spec": "x"},
            quota("q1", "acme") | {"spec": {"selector": "x"}},
            quota("q1", "acme") | {"spec": {"selector": {"matchExpressions": [{"key": "a"}]}}},
            quota("q1", "acme")
            | {"spec": {"selector": {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}}},
        ],
    )
    def test_what_is_none(self, manifest: Any) -> None:
        with pytest.raises(ValueError, match="not a TenantQuota"):
            read_quota(manifest)


class Joined:
    def __init__(self, *quotas: Manifest) -> None:
        self.pods, self.quotas = Index[Pod](), Index[Quota]()
        self.owners = TenantsPods(self.pods, self.quotas, {"ns-system"})
        for manifest in quotas:
            self.quotas.put(*read_quota(manifest))

    def put(self, manifest: Manifest) -> None:
        self.pods.put(*read_pod(manifest))

    def owner_of(self, uid: str, container: str) -> Owner | None:
        return self.owners.owner_of(uid, container)


@pytest.fixture
def joined() -> Joined:
    """With a quota for the whole namespace of pods."""
    return Joined(quota("q1", "acme", tenant="acme"))


class TestOwners:
    def test_a_container_that_is_named(self, joined: Joined) -> None:
        joined.put(pod("u1", "a"))

        assert joined.owner_of("u1", "a") == acme("c0")

    def test_a_container_of_nobody(self, joined: Joined) -> None:
        assert joined.owner_of("u1", "a") is None

    def test_the_pause_container_is_the_one_without_a_name(self, joined: Joined) -> None:
        joined.put(pod("u1", "a"))

        assert joined.owner_of("u1", "pause") is None

    def test_a_new_container_is_the_tenants_before_it_has_a_name(self, joined: Joined) -> None:
        joined.put(pod("u1", "a", ""))

        assert joined.owner_of("u1", "new") == acme("")

    def test_a_restarted_container_is_the_tenants_before_it_has_a_name(self, joined: Joined) -> None:
        joined.put(pod("u1", "old", state="terminated"))

        assert joined.owner_of("u1", "new") == acme("")
        assert joined.owner_of("u1", "old") == acme("c0")

    def test_a_pod_that_no_quota_selects_is_nobodys_whatever_its_label_says(self) -> None:
        joined = Joined(quota("q1", "acme", selector={"matchLabels": {"app": "other"}}))
        manifest = pod("u1", "a")
        manifest["metadata"]["labels"]["tenantquota.io/tenant"] = "acme"
        joined.put(manifest)

        assert joined.owner_of("u1", "a") is None
        assert joined.owners.count() == 0

    def test_a_quota_holds_pods_of_its_own_namespace(self, joined: Joined) -> None:
        joined.put(pod("u1", "a", tenant="beta"))

        assert joined.owner_of("u1", "a") is None

    def test_a_quota_in_a_system_namespace_holds_nobody(self) -> None:
        joined = Joined(quota("q1", "system"))
        joined.put(pod("u1", "a", tenant="system"))

        assert joined.owner_of("u1", "a") is None

    def test_a_quota_that_observes_has_tenants_too(self) -> None:
        joined = Joined(quota("q1", "acme", tenant="acme", enforcement="Observe"))
        joined.put(pod("u1", "a"))

        assert joined.owner_of("u1", "a") == acme("c0")._replace(enforces=False)
        assert joined.owners.count() == 1

    def test_follows_the_quotas(self, joined: Joined) -> None:
        joined.put(pod("u1", "a"))
        revision = joined.owners.revision
        joined.quotas.drop("q1")
        assert joined.owners.revision > revision
        assert joined.owner_of("u1", "a") is None

        joined.quotas.put(*read_quota(quota("q2", "acme", tenant="beta")))
        assert (joined.owner_of("u1", "a") or acme("")).tenant == "beta"

    def test_is_complete_when_both_are(self, joined: Joined) -> None:
        joined.pods.replace({})
        assert not joined.owners.complete
        joined.quotas.replace({})
        assert joined.owners.complete
