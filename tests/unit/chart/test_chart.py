"""What the chart installs, and how its values change that."""

import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenantquota.node.app import ALLOCATABLE
from tenantquota.settings import WeightsSettings, parse

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]

REPOSITORY = Path(__file__).parents[3]
CHART = REPOSITORY / "charts" / "tenantquota"
SYSTEM = ["kube-system", "kube-public", "kube-node-lease", "tenantquota-system"]
CLUSTER_WIDE = {"tenantquota-crds", "tenantquota-nodereports"}
"""Policies about objects without a namespace."""


def find(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (of for of in manifests if of["kind"] == kind and of["metadata"]["name"] == name)
    return found


def controller(manifests: list[Manifest]) -> Manifest:
    """The controller's pod template."""
    template: Manifest = find(manifests, "Deployment", "tenantquota-controller")["spec"]["template"]
    return template


def container(manifests: list[Manifest]) -> Manifest:
    (found,) = controller(manifests)["spec"]["containers"]
    result: Manifest = found
    return result


@pytest.fixture(scope="module")
def default(render: Render) -> list[Manifest]:
    return render()


def test_default_installation(default: list[Manifest]) -> None:
    assert sorted(
        f"{of['kind']}/{of['metadata']['name']}" for of in default if "Policy" not in of["kind"]
    ) == [
        "ClusterRole/tenantquota-controller",
        "ClusterRole/tenantquota-node",
        "ClusterRole/tenantquota:editor",
        "ClusterRole/tenantquota:view",
        "ClusterRoleBinding/tenantquota-controller",
        "ClusterRoleBinding/tenantquota-node",
        "CustomResourceDefinition/nodereports.tenantquota.io",
        "CustomResourceDefinition/tenantquotas.tenantquota.io",
        "DaemonSet/tenantquota-node",
        "Deployment/tenantquota-controller",
        "Pod/tenantquota-test-ready",
        "Service/tenantquota-metrics",
        "ServiceAccount/tenantquota-controller",
        "ServiceAccount/tenantquota-node",
    ]


def test_every_object_is_labelled(default: list[Manifest]) -> None:
    for of in default:
        labels = of["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "tenantquota"
        assert labels["app.kubernetes.io/instance"] == "tenantquota"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"


class TestController:
    def test_arguments(self, default: list[Manifest]) -> None:
        assert container(default)["command"] == ["python", "-m", "tenantquota", "controller"]
        assert container(default)["args"] == [
            "--log-level=info",
            "--resync-seconds=15",
            "--concurrency=10",
            f"--system-namespaces={','.join(SYSTEM)}",
        ]

    def test_arguments_are_those_that_the_program_knows(self, default: list[Manifest]) -> None:
        settings = parse(["controller", *container(default)["args"]])

        assert settings.system_namespaces == set(SYSTEM)
        assert settings == parse(["controller", f"--system-namespaces={','.join(SYSTEM)}"]), (
            "the chart's defaults are the program's"
        )

    def test_values_reach_the_arguments(self, render: Render) -> None:
        values = {
            "controller.logLevel": "debug",
            "controller.resyncSeconds": 0.5 + 1,
            "controller.concurrency": 40,
            "admission.excludedNamespaces": ["calico-system", "kube-system"],
        }

        assert container(render(values))["args"] == [
            "--log-level=debug",
            "--resync-seconds=1.5",
            "--concurrency=40",
            f"--system-namespaces={','.join([*SYSTEM, 'calico-system'])}",
        ]

    def test_own_namespace_is_the_releases(self, render: Render) -> None:
        manifests = render({}, "--namespace=elsewhere")

        assert container(manifests)["args"][-1].endswith(",elsewhere")
        binding = find(manifests, "ClusterRoleBinding", "tenantquota-controller")
        assert binding["subjects"][0]["namespace"] == "elsewhere"

    def test_one_at_a_time(self, default: list[Manifest]) -> None:
        spec = find(default, "Deployment", "tenantquota-controller")["spec"]

        assert spec["replicas"] == 1
        assert spec["strategy"] == {"type": "Recreate"}

    def test_pods_are_those_that_the_deployment_and_the_service_select(self, default: list[Manifest]) -> None:
        labels = controller(default)["metadata"]["labels"].items()
        deployment = find(default, "Deployment", "tenantquota-controller")["spec"]
        service = find(default, "Service", "tenantquota-metrics")["spec"]

        assert deployment["selector"]["matchLabels"].items() <= labels
        assert service["selector"].items() <= labels
        test_pod = find(default, "Pod", "tenantquota-test-ready")
        assert not service["selector"].items() <= test_pod["metadata"]["labels"].items()

    def test_meets_the_restricted_pod_security_standard(self, default: list[Manifest]) -> None:
        for spec in (controller(default)["spec"], find(default, "Pod", "tenantquota-test-ready")["spec"]):
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert spec["securityContext"]["runAsUser"] == 65532
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            for of in spec["containers"]:
                assert of["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }

    def test_resources(self, default: list[Manifest]) -> None:
        """No CPU limit: a throttled controller sets everybody's limits late."""
        assert container(default)["resources"] == {
            "requests": {"cpu": "50m", "memory": "128Mi"},
            "limits": {"memory": "256Mi"},
        }

    def test_probes_ask_the_http_port(self, default: list[Manifest]) -> None:
        of = container(default)

        assert of["ports"] == [{"name": "http", "containerPort": 8080}]
        assert of["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
        assert of["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}

    def test_image_from_any_registry(self, render: Render) -> None:
        manifests = render(
            {
                "image.repository": "registry.example.com:5000/platform/tenantquota",
                "image.tag": "1.2.3",
                "image.pullPolicy": "Always",
                "imagePullSecrets": [{"name": "registry"}],
            }
        )

        for of in (
            container(manifests),
            find(manifests, "Pod", "tenantquota-test-ready")["spec"]["containers"][0],
        ):
            assert of["image"] == "registry.example.com:5000/platform/tenantquota:1.2.3"
            assert of["imagePullPolicy"] == "Always"
        account = find(manifests, "ServiceAccount", "tenantquota-controller")
        assert account["imagePullSecrets"] == [{"name": "registry"}]

    def test_image_tag_is_the_charts_version_by_default(self, default: list[Manifest]) -> None:
        version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]

        assert container(default)["image"] == f"tenantquota/operator:{version}"

    def test_what_a_cluster_may_need(self, render: Render) -> None:
        toleration = {"key": "control-plane", "operator": "Exists"}
        affinity = {"nodeAffinity": {}}
        manifests = render(
            {
                "controller.priorityClassName": "system-cluster-critical",
                "controller.podAnnotations": {"example.com/a": "b"},
                "controller.podLabels": {"team": "platform"},
                "controller.nodeSelector": {"pool": "system"},
                "controller.tolerations": [toleration],
                "controller.affinity": affinity,
                "controller.resources": {"requests": {"cpu": 1}},
                "serviceAccount.annotations": {"example.com/role": "x"},
                "metrics.service.annotations": {"prometheus.io/scrape": "true"},
            }
        )

        spec = controller(manifests)["spec"]
        assert spec["priorityClassName"] == "system-cluster-critical"
        assert spec["nodeSelector"] == {"pool": "system"}
        assert spec["tolerations"] == [toleration]
        assert spec["affinity"] == affinity
        assert controller(manifests)["metadata"]["annotations"] == {"example.com/a": "b"}
        assert controller(manifests)["metadata"]["labels"]["team"] == "platform"
        assert container(manifests)["resources"]["requests"]["cpu"] == 1
        account = find(manifests, "ServiceAccount", "tenantquota-controller")
        assert account["metadata"]["annotations"] == {"example.com/role": "x"}
        service = find(manifests, "Service", "tenantquota-metrics")
        assert service["metadata"]["annotations"] == {"prometheus.io/scrape": "true"}


class TestNode:
    @pytest.fixture
    def spec(self, default: list[Manifest]) -> Manifest:
        found: Manifest = find(default, "DaemonSet", "tenantquota-node")["spec"]["template"]["spec"]
        return found

    def test_can_be_left_out(self, render: Render, default: list[Manifest]) -> None:
        without = {(of["kind"], of["metadata"]["name"]) for of in render({"node.enabled": False})}

        gone = {(of["kind"], of["metadata"]["name"]) for of in default} - without
        assert gone == {
            (kind, "tenantquota-node")
            for kind in ("DaemonSet", "ServiceAccount", "ClusterRole", "ClusterRoleBinding")
        }

    def test_arguments_are_those_that_the_program_knows(self, spec: Manifest) -> None:
        of, _ = spec["containers"]

        assert of["command"] == ["python", "-m", "tenantquota", "node"]
        settings = parse(["node", *of["args"]])
        assert settings == parse(
            ["node", "--cgroup-root=/host/sys/fs/cgroup", f"--system-namespaces={','.join(SYSTEM)}"]
        ), "the chart's defaults are the program's"
        assert of["ports"] == [{"name": "http", "containerPort": settings.http_port}]

    def test_knows_the_nodes_allocatable_cpu(self, spec: Manifest, render: Render) -> None:
        """What a container's CPU limit counts as where it has none; so it is asked of one that has none."""

        def asks(spec: Manifest) -> Any:
            (found,) = (each for each in spec["containers"][0]["env"] if each["name"] == ALLOCATABLE)
            return found["valueFrom"]["resourceFieldRef"]

        limited = find(render({"node.resources.limits.cpu": "1"}), "DaemonSet", "tenantquota-node")
        assert asks(spec) == {"resource": "limits.cpu", "divisor": "1m"}
        assert asks(limited["spec"]["template"]["spec"])["containerName"] == "weights"

    def test_may_do_nothing_to_the_node(self, spec: Manifest) -> None:
        of, _ = spec["containers"]

        assert of["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert spec["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 64021,
            "runAsGroup": 64021,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert not {"hostNetwork", "hostIPC"} & spec.keys()
        assert [volume["hostPath"] for volume in spec["volumes"] if "hostPath" in volume] == [
            {"path": "/sys/fs/cgroup", "type": "Directory"}
        ]
        assert all(mount["readOnly"] for mount in of["volumeMounts"])
        assert of["volumeMounts"][0]["recursiveReadOnly"] == "IfPossible"

    def test_weights_are_written_by_a_program_that_can_do_little_else(self, spec: Manifest) -> None:
        agent, of = spec["containers"]

        settings = parse(of["command"][3:] + of["args"])
        assert settings == WeightsSettings(
            cgroup_root=Path("/host/sys/fs/cgroup"), agent_user=spec["securityContext"]["runAsUser"]
        )
        assert settings.socket == parse(["node", *agent["args"]]).weights_socket
        assert of["securityContext"] == {
            "runAsNonRoot": False,
            "runAsUser": 0,
            "runAsGroup": 0,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "ports" not in of

    def test_shares_its_user_with_nobody(self, spec: Manifest, default: list[Manifest]) -> None:
        """In the node's PID namespace a process may trace others of its user."""
        others = [
            of["spec"]["template"]["spec"] if "template" in of["spec"] else of["spec"]
            for of in default
            if of["kind"] in {"Deployment", "Pod"}
        ]

        assert len(others) == 2
        for other in others:
            assert other["securityContext"]["runAsUser"] != spec["securityContext"]["runAsUser"]
            assert "hostPID" not in other

    def test_runs_on_every_node_and_is_never_throttled(self, spec: Manifest) -> None:
        of, _ = spec["containers"]

        assert spec["tolerations"] == [{"operator": "Exists"}]
        assert of["resources"] == {
            "requests": {"cpu": "20m", "memory": "32Mi"},
            "limits": {"memory": "64Mi"},
        }

    def test_pods_are_those_that_the_daemon_set_selects_and_no_service(self, default: list[Manifest]) -> None:
        daemon_set = find(default, "DaemonSet", "tenantquota-node")["spec"]
        labels = daemon_set["template"]["metadata"]["labels"].items()
        service = find(default, "Service", "tenantquota-metrics")["spec"]

        assert daemon_set["selector"]["matchLabels"].items() <= labels
        assert not service["selector"].items() <= labels
        assert (
            not daemon_set["selector"]["matchLabels"].items()
            <= controller(default)["metadata"]["labels"].items()
        )

    def test_what_a_cluster_may_need(self, render: Render) -> None:
        manifests = render(
            {
                "node.logLevel": "debug",
                "node.reportSeconds": 60,
                "node.priorityClassName": "system-node-critical",
                "node.podAnnotations": {"example.com/a": "b"},
                "node.podLabels": {"team": "platform"},
                "node.nodeSelector": {"pool": "tenants"},
                "node.tolerations": [],
                "node.affinity": {"nodeAffinity": {}},
                "imagePullSecrets": [{"name": "registry"}],
            },
            "--namespace=elsewhere",
        )

        template = find(manifests, "DaemonSet", "tenantquota-node")["spec"]["template"]
        spec = template["spec"]
        assert template["metadata"]["annotations"] == {"example.com/a": "b"}
        assert template["metadata"]["labels"]["team"] == "platform"
        assert spec["priorityClassName"] == "system-node-critical"
        assert spec["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "tenants"}
        assert "tolerations" not in spec
        assert spec["affinity"] == {"nodeAffinity": {}}
        assert {"--log-level=debug", "--report-seconds=60"} <= set(spec["containers"][0]["args"])
        account = find(manifests, "ServiceAccount", "tenantquota-node")
        assert account["imagePullSecrets"] == [{"name": "registry"}]
        binding = find(manifests, "ClusterRoleBinding", "tenantquota-node")
        assert binding["subjects"][0]["namespace"] == "elsewhere"
        policy = find(manifests, "ValidatingAdmissionPolicy", "tenantquota-nodereports")
        assert "elsewhere:tenantquota-node" in policy["spec"]["validations"][0]["expression"]


class TestCrds:
    def test_are_those_of_the_repository_and_outlive_the_release(self, default: list[Manifest]) -> None:
        for path in (REPOSITORY / "crds").iterdir():
            crd = yaml.safe_load(path.read_text())
            rendered = find(default, "CustomResourceDefinition", crd["metadata"]["name"])

            assert rendered["spec"] == crd["spec"]
            assert rendered["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}

    def test_can_be_left_to_somebody_else(self, render: Render) -> None:
        kinds = {of["kind"] for of in render({"crds.install": False})}

        assert "CustomResourceDefinition" not in kinds
        assert "MutatingAdmissionPolicy" in kinds

    def test_are_in_the_package(
        self, helm: Any, render: Render, tmp_path: Path, default: list[Manifest]
    ) -> None:
        """In the repository they are a symbolic link."""
        assert helm("package", str(CHART), f"--destination={tmp_path}").returncode == 0
        (package,) = tmp_path.iterdir()

        with tarfile.open(package) as archive:
            assert "tenantquota/files/crds/tenantquota.io_tenantquotas.yaml" in archive.getnames()
        assert render(chart=package) == default


class TestRoles:
    def test_controller_may_do_only_this(self, default: list[Manifest]) -> None:
        """A new right belongs here with its reason in the chart."""
        read = {"get", "list", "watch"}
        allowed = {
            ("tenantquota.io", "tenantquotas"): read,
            ("tenantquota.io", "tenantquotas/status"): {"patch", "update"},
            ("tenantquota.io", "nodereports"): read,
            ("", "pods"): read | {"patch"},
            ("", "pods/resize"): {"patch"},
            ("", "pods/eviction"): {"create"},
            ("", "resourcequotas"): read | {"create", "patch", "delete"},
            ("", "namespaces"): read,
            ("", "events"): {"create", "patch"},
            ("events.k8s.io", "events"): {"create", "patch"},
            ("apiextensions.k8s.io", "customresourcedefinitions"): read,
        }
        rules = find(default, "ClusterRole", "tenantquota-controller")["rules"]

        assert {
            (group, resource): set(rule["verbs"])
            for rule in rules
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        } == allowed
        assert not [of for of in default if of["kind"] in {"Role", "RoleBinding"}]

    def test_node_agent_may_do_only_this(self, default: list[Manifest]) -> None:
        assert find(default, "ClusterRole", "tenantquota-node")["rules"] == [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
            {"apiGroups": ["tenantquota.io"], "resources": ["tenantquotas"], "verbs": ["list", "watch"]},
            {"apiGroups": ["tenantquota.io"], "resources": ["nodereports"], "verbs": ["create", "patch"]},
        ]

    @pytest.mark.parametrize("template", ["rbac.yaml", "node/rbac.yaml"])
    def test_every_rule_gives_its_reason(self, template: str) -> None:
        text = (CHART / "templates" / template).read_text()
        lines = text.split("kind: ClusterRoleBinding")[0].splitlines()

        for index, line in enumerate(lines):
            if line.strip().startswith("- apiGroups"):
                assert lines[index - 1].strip().startswith("#"), line

    def test_tenants_may_only_see_quotas(self, default: list[Manifest]) -> None:
        role = find(default, "ClusterRole", "tenantquota:view")

        assert role["rules"] == [
            {
                "apiGroups": ["tenantquota.io"],
                "resources": ["tenantquotas"],
                "verbs": ["get", "list", "watch"],
            }
        ]
        for to in ("view", "edit", "admin"):
            assert role["metadata"]["labels"][f"rbac.authorization.k8s.io/aggregate-to-{to}"] == "true"

    def test_editors_role_is_nobodys_by_itself(self, default: list[Manifest]) -> None:
        role = find(default, "ClusterRole", "tenantquota:editor")

        assert not [key for key in role["metadata"]["labels"] if "aggregate-to" in key]
        assert role["rules"][0]["resources"] == ["tenantquotas"]
        assert "update" in role["rules"][0]["verbs"]

    def test_user_roles_can_be_left_out(self, render: Render) -> None:
        names = {of["metadata"]["name"] for of in render({"rbac.createUserRoles": False})}

        assert not {"tenantquota:view", "tenantquota:editor"} & names
        assert "tenantquota-controller" in names


class TestPolicies:
    @pytest.fixture
    def policies(self, default: list[Manifest]) -> list[Manifest]:
        return [of for of in default if of["kind"].endswith("AdmissionPolicy")]

    def test_names(self, policies: list[Manifest]) -> None:
        assert sorted((of["kind"], of["metadata"]["name"]) for of in policies) == [
            ("MutatingAdmissionPolicy", "tenantquota-limits"),
            *(
                ("ValidatingAdmissionPolicy", f"tenantquota-{what}")
                for what in (
                    "crds",
                    "nodereports",
                    "pod-binding",
                    "pod-create",
                    "pod-ephemeralcontainers",
                    "pod-resize",
                    "pod-status",
                    "pod-update",
                    "resourcequotas",
                )
            ),
        ]

    def test_each_is_bound_and_denies(self, default: list[Manifest], policies: list[Manifest]) -> None:
        for policy in policies:
            name = policy["metadata"]["name"]
            spec = find(default, f"{policy['kind']}Binding", name)["spec"]

            assert spec["policyName"] == name
            assert policy["spec"]["failurePolicy"] == "Fail"
            if policy["kind"] == "ValidatingAdmissionPolicy":
                assert spec["validationActions"] == ["Deny"]
            assert ("paramRef" in spec) is ("paramKind" in policy["spec"])
            if "paramRef" in spec:
                assert spec["paramRef"] == {"selector": {}, "parameterNotFoundAction": "Allow"}
        assert len([of for of in default if of["kind"].endswith("AdmissionPolicyBinding")]) == len(policies)

    def test_system_namespaces_are_excluded_by_the_policy_itself(self, policies: list[Manifest]) -> None:
        """A binding's exclusion comes too late while the API server doesn't know the CRD."""
        for policy in policies:
            if policy["metadata"]["name"] not in CLUSTER_WIDE:
                (expression,) = policy["spec"]["matchConstraints"]["namespaceSelector"]["matchExpressions"]
                assert expression == {
                    "key": "kubernetes.io/metadata.name",
                    "operator": "NotIn",
                    "values": SYSTEM,
                }

    def test_more_namespaces_can_be_excluded(self, render: Render) -> None:
        for of in render({"admission.excludedNamespaces": ["calico-system"]}, "--namespace=elsewhere"):
            if of["kind"].endswith("AdmissionPolicy") and of["metadata"]["name"] not in CLUSTER_WIDE:
                (expression,) = of["spec"]["matchConstraints"]["namespaceSelector"]["matchExpressions"]
                assert expression["values"] == [*SYSTEM[:3], "elsewhere", "calico-system"]

    def test_what_nodes_and_schedulers_write_needs_no_quota_to_be_read(
        self, policies: list[Manifest]
    ) -> None:
        """Else a missing CRD would stop kubelets' reports and the scheduler."""
        for policy in policies:
            resources = policy["spec"]["matchConstraints"]["resourceRules"][0]["resources"]
            if {"pods/status", "pods/binding", "bindings"} & set(resources):
                assert "paramKind" not in policy["spec"]

    def test_controller_and_quota_editors_are_exempt_after_creation_only(
        self, policies: list[Manifest], render: Render
    ) -> None:
        account = "system:serviceaccount:tenantquota-system:tenantquota-controller"
        bound_by_all = {"tenantquota-limits", "tenantquota-pod-create", *CLUSTER_WIDE}
        for policy in policies:
            conditions = " ".join(of["expression"] for of in policy["spec"]["matchConditions"])
            exempts = account in conditions and "check('update').allowed()" in conditions
            assert exempts is (policy["metadata"]["name"] not in bound_by_all), policy["metadata"]["name"]

        elsewhere = yaml.safe_dump_all(render({}, "--namespace=elsewhere"), width=10_000)
        assert "system:serviceaccount:elsewhere:tenantquota-controller" in elsewhere
        assert account not in elsewhere

    def test_all_select_alike(self, policies: list[Manifest]) -> None:
        selectors = {
            re.sub(r"\s+|oldObject|object", "", of["expression"])
            for policy in policies
            for of in policy["spec"]["matchConditions"]
            if of["name"] == "selected" and policy["metadata"]["name"] != "tenantquota-pod-update"
        }

        assert len(selectors) == 1

    def test_every_refusal_has_a_message(self, policies: list[Manifest]) -> None:
        for policy in policies:
            for validation in policy["spec"].get("validations", []):
                assert "message" in validation or "messageExpression" in validation
                assert validation["reason"] == "Forbidden"


class TestMetrics:
    def test_service_points_to_the_controller(self, default: list[Manifest]) -> None:
        (port,) = find(default, "Service", "tenantquota-metrics")["spec"]["ports"]

        assert port == {"name": "http", "port": 8080, "targetPort": "http"}

    def test_service_monitor_selects_the_service(self, render: Render, default: list[Manifest]) -> None:
        assert not [of for of in default if of["kind"] == "ServiceMonitor"]
        manifests = render(
            {
                "metrics.serviceMonitor.enabled": True,
                "metrics.serviceMonitor.interval": "30s",
                "metrics.serviceMonitor.labels": {"release": "prometheus"},
            }
        )

        monitor = find(manifests, "ServiceMonitor", "tenantquota")
        labels = find(manifests, "Service", "tenantquota-metrics")["metadata"]["labels"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert monitor["spec"]["endpoints"] == [{"port": "http", "path": "/metrics", "interval": "30s"}]
        assert monitor["metadata"]["labels"]["release"] == "prometheus"

    def test_pod_monitor_selects_the_agents(self, render: Render) -> None:
        manifests = render({"metrics.serviceMonitor.enabled": True})

        monitor = find(manifests, "PodMonitor", "tenantquota-node")["spec"]
        pods = find(manifests, "DaemonSet", "tenantquota-node")["spec"]["template"]["metadata"]["labels"]
        assert monitor["selector"]["matchLabels"].items() <= pods.items()
        (endpoint,) = monitor["podMetricsEndpoints"]
        assert endpoint["honorLabels"] is True, "else the tenants' pods become exported_pod"
        without = render({"metrics.serviceMonitor.enabled": True, "node.enabled": False})
        assert "PodMonitor" not in {of["kind"] for of in without}
