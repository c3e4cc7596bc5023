"""The node agent in its pod: it tells the truth, and can do no harm."""

import shutil
import subprocess
from collections.abc import Callable

import pytest

from e2e.cluster.settings import NAMESPACE
from e2e.harness.cgroups import node_bash
from e2e.harness.cluster import DAEMON_SET, POD, Cluster, Manifest
from e2e.harness.node_agent import CONTAINER, DAEMON_SET_NAME, NodeAgent, agent_beside
from e2e.harness.wait import NotYet, wait_until
from tests.integration.tenant import Tenant

MI = 2**20
DEADLINE_SECONDS = 30


@pytest.fixture(scope="module")
def tenant(cluster: Cluster, controller: object, new_namespace: Callable[[str], str]) -> Tenant:
    """With a limit and two agents."""
    tenant = Tenant(cluster, new_namespace("node"))
    tenant.quota("300m", "64Mi")
    tenant.start("first", "second")
    tenant.wait_limits(300, 64)
    return tenant


@pytest.fixture(scope="module")
def agent(tenant: Tenant) -> NodeAgent:
    return agent_beside(tenant.cluster, "first", tenant.namespace)


def until(check: Callable[[], bool], what: str) -> None:
    wait_until(check, what=what, deadline_seconds=DEADLINE_SECONDS)


class TestReport:
    def test_says_what_the_cgroups_hold(self, tenant: Tenant, agent: NodeAgent) -> None:
        def told() -> bool:
            found = agent.reported(tenant.namespace)
            if found.keys() != {"first/agent", "second/agent"}:
                raise NotYet(f"it has {list(found)}")
            limits = {(of.get("cpuLimitMilli"), of.get("memoryLimitBytes")) for of in found.values()}
            if limits != {(300, 64 * MI)}:
                raise NotYet(f"it has {limits}")
            return True

        until(told, "the report")
        of = agent.reported(tenant.namespace)["first/agent"]
        assert of["tenant"] == tenant.namespace
        assert of["uid"] == tenant.pod("first")["metadata"]["uid"]

    def test_says_within_five_seconds_what_was_changed_by_hand(
        self, cluster: Cluster, new_namespace: Callable[[str], str]
    ) -> None:
        """In a namespace that only observes, so that the controller leaves it."""
        tenant = Tenant(cluster, new_namespace("hand"))
        tenant.quota("300m", "64Mi", enforcement="Observe")
        tenant.start("first")
        agent = agent_beside(cluster, "first", tenant.namespace)
        until(lambda: "first/agent" in agent.reported(tenant.namespace), "the container in the report")
        (container,) = cluster.running(tenant.namespace)
        script = """
        cd /sys/fs/cgroup
        [ -e cgroup.controllers ] && file=cpu.max value='20000 100000' || file=cpu.cfs_quota_us value=20000
        for directory in $(find . -type d -name "*$1*"); do
            [ -e "$directory/$file" ] && echo "$value" > "$directory/$file"
        done
        """
        node_bash(agent.node, script, container.id)

        wait_until(
            lambda: agent.reported(tenant.namespace)["first/agent"].get("cpuLimitMilli") == 200,
            what="the report to tell",
            deadline_seconds=5,
        )

    def test_forgets_what_is_gone(self, cluster: Cluster, new_namespace: Callable[[str], str]) -> None:
        tenant = Tenant(cluster, new_namespace("gone"))
        tenant.quota("300m", "64Mi")
        tenant.start("first")
        agent = agent_beside(cluster, "first", tenant.namespace)
        until(lambda: f'tenant="{tenant.namespace}"' in agent.page(), "the tenant's series")
        cluster.delete(POD, "first", tenant.namespace)

        until(lambda: tenant.namespace not in agent.page(), "no series of the tenant")
        until(lambda: not agent.reported(tenant.namespace), "nothing of the tenant in the report")

    def test_is_small_and_seldom(self, agent: NodeAgent) -> None:
        size = agent.metric("tenantquota_node_report_size_bytes") or 0
        containers = len(agent.report().get("containers", []))

        assert 0 < size < 1024 + 300 * containers


class TestMetrics:
    def test_promtool_finds_nothing_wrong(self, agent: NodeAgent) -> None:
        if not shutil.which("promtool"):
            pytest.fail("this test needs promtool in PATH: run 'make tools', which gets it")
        done = subprocess.run(
            ["promtool", "check", "metrics"],
            input=agent.page(),
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )

        assert (done.returncode, done.stdout + done.stderr) == (0, "")

    def test_tells_of_every_container(self, tenant: Tenant, agent: NodeAgent) -> None:
        until(lambda: agent.metric("tenantquota_tenant_containers", tenant=tenant.namespace) == 2, "both")
        for pod in ("first", "second"):
            of = {"namespace": tenant.namespace, "pod": pod, "container": "agent"}
            assert (agent.metric("tenantquota_container_cpu_usage_seconds_total", **of) or 0) > 0
            assert (agent.metric("tenantquota_container_memory_working_set_bytes", **of) or 0) > MI
            assert agent.metric("tenantquota_container_memory_limit_bytes", **of) == 64 * MI
            assert agent.metric("tenantquota_container_cpu_limit_cores", **of) == 0.3

    def test_no_read_failed(self, agent: NodeAgent) -> None:
        assert agent.scrape().samples.get("tenantquota_node_read_errors_total", {}) == {}


FILES_OF_ONE = "import json, os; print(json.dumps(len(os.listdir('/proc/1/fd'))))"


def open_files(tenant: Tenant, pod: str) -> int:
    """Of the pod's one process; the one that looks has another id."""
    command = ("exec", f"--namespace={tenant.namespace}", pod, "--", "python3", "-I", "-S", "-c")
    return int(tenant.cluster.kubectl(*command, FILES_OF_ONE))


STATUS = """
import json
lines = open("/proc/self/status").read().splitlines()
print(json.dumps(dict(line.split(":\\t", 1) for line in lines)))
"""

ATTEMPTS = """
import json, os, sys
pid = int(sys.argv[1])
allowed = []
def attempt(what, action):
    try:
        action()
    except OSError:
        return
    allowed.append(what)
def open_for_writing(path):
    os.close(os.open(path, os.O_WRONLY))
attempt("root file system", lambda: os.mkdir("/made"))
attempt("/tmp", lambda: os.mkdir("/tmp/made"))
attempt("cgroup mount", lambda: os.mkdir("/host/sys/fs/cgroup/made"))
for file in ("oom_score_adj", "mem", "comm", "clear_refs", "coredump_filter"):
    for of in (pid, 1):
        attempt(f"/proc/{of}/{file}", lambda: open_for_writing(f"/proc/{of}/{file}"))
for file in ("environ", "maps", "root/etc/hostname", "cwd/e2e/workload/__init__.py", "fd/0", "stack"):
    attempt(f"reading /proc/{pid}/{file}", lambda: os.close(os.open(f"/proc/{pid}/{file}", os.O_RDONLY)))
attempt("signal", lambda: os.kill(pid, 0))
attempt("priority", lambda: os.setpriority(os.PRIO_PROCESS, pid, 5))
attempt("affinity", lambda: os.sched_setaffinity(pid, {0}))
attempt("/proc/sys", lambda: open_for_writing("/proc/sys/vm/drop_caches"))
attempt("/proc/sysrq-trigger", lambda: open_for_writing("/proc/sysrq-trigger"))
tried = 0
for folder, _, files in os.walk("/host/sys/fs/cgroup"):
    if "pod" in folder:
        for name in files:
            tried += 1
            attempt(f"{folder}/{name}", lambda: open_for_writing(f"{folder}/{name}"))
print(json.dumps({"allowed": allowed, "tried": tried}))
"""


class TestSafety:
    def test_has_no_capability_and_a_user_of_its_own(self, agent: NodeAgent) -> None:
        status = agent.python(STATUS)

        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[kind], 16) == 0, kind
        assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"64021"}
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"

    def test_can_write_nothing_and_look_into_no_process(self, tenant: Tenant, agent: NodeAgent) -> None:
        """Whatever it tries: no file of any pod's cgroup, none of its process, nor of its own root."""
        (container,) = (of for of in tenant.cluster.running(tenant.namespace) if of.pod == "first")
        script = (
            'pgrep -f e2e.workload | while read p; do grep -q "$1" /proc/$p/cgroup && echo $p; done; true'
        )
        process_id = node_bash(agent.node, script, container.id).split()[0]

        result = agent.python(ATTEMPTS, process_id)

        assert result["allowed"] == []
        assert result["tried"] > 100, "there were files to try"

    def test_its_mounts_are_read_only(self, agent: NodeAgent) -> None:
        mounts = agent.python(
            "import json; print(json.dumps([l.split() for l in open('/proc/self/mounts')]))"
        )

        of_node = [(of[1], of[3].split(",")) for of in mounts if of[1].startswith("/host")]
        assert of_node
        assert all("ro" in options for _, options in of_node), of_node
        assert "ro" in next(of[3].split(",") for of in mounts if of[1] == "/")

    def test_counts_files_of_other_users_processes_all_the_same(
        self, tenant: Tenant, agent: NodeAgent
    ) -> None:
        """The reason that it needs no capability: since Linux 6.2 a directory's size says how many."""
        expected = open_files(tenant, "first")

        until(
            lambda: (
                agent.metric("tenantquota_container_open_files", namespace=tenant.namespace, pod="first")
                == expected
            ),
            f"{expected} open files",
        )

    def test_sees_run_delay_of_other_users_threads(self, tenant: Tenant, agent: NodeAgent) -> None:
        until(
            lambda: (
                (
                    agent.metric(
                        "tenantquota_container_timeslices_total", namespace=tenant.namespace, pod="first"
                    )
                    or 0
                )
                > 0
            ),
            "time slices",
        )

    def test_without_the_nodes_pid_namespace_it_would_see_no_process(
        self, tenant: Tenant, agent: NodeAgent
    ) -> None:
        """What hostPID is for: the same pod without it."""
        cluster = tenant.cluster
        name = f"{agent.itself.pod}-without-host-pid"
        cluster.apply(without_host_pid(cluster, name, agent.node))
        try:
            containers = cluster.wait_ready(NAMESPACE, 1, selector="test=without-host-pid")
            (itself,) = (container for container in containers if container.name == CONTAINER)
            blind = NodeAgent(cluster, itself)
            of = {"namespace": tenant.namespace, "pod": "first"}
            wait_until(
                lambda: (blind.metric("tenantquota_node_ticks_total") or 0) > 15,
                what="fifteen ticks of the one without hostPID",
                deadline_seconds=120,
            )
            assert (blind.metric("tenantquota_container_cpu_usage_seconds_total", **of) or 0) > 0
            assert not blind.metric("tenantquota_container_open_files", **of)
            assert not blind.metric("tenantquota_container_timeslices_total", **of)
        finally:
            cluster.delete(POD, name, NAMESPACE)


def without_host_pid(cluster: Cluster, name: str, node: str) -> Manifest:
    template = cluster.get(DAEMON_SET, DAEMON_SET_NAME, NAMESPACE)["spec"]["template"]
    spec = template["spec"] | {"nodeName": node, "hostPID": False}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"test": "without-host-pid"}},
        "spec": spec,
    }


@pytest.mark.exclusive
class TestEnd:
    def test_ends_by_itself_and_its_successor_goes_on(self, tenant: Tenant, agent: NodeAgent) -> None:
        """Without being killed: well within the five seconds that it has."""
        cluster = tenant.cluster
        before = agent.report()["heartbeat"]
        logs = subprocess.Popen(
            [
                *(*cluster.kubectl_command, "logs", "--follow", "--tail=1"),
                *(f"--namespace={NAMESPACE}", agent.itself.pod),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        cluster.delete(POD, agent.itself.pod, NAMESPACE)
        said, _ = logs.communicate(timeout=60)

        assert "stopped after" in said
        successor = agent_beside(cluster, "first", tenant.namespace)
        assert successor.itself.pod != agent.itself.pod

        def goes_on() -> bool:
            return agent.report()["heartbeat"] > before and agent.reported(tenant.namespace).keys() == {
                "first/agent",
                "second/agent",
            }

        wait_until(goes_on, what="a report of the successor", deadline_seconds=60)
