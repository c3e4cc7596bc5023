"""The command line of the benchmark; see the package."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence

from e2e.bench import race, report
from e2e.bench.arms import START_CPU_MILLICORES, BareLoopArm, OperatorArm
from e2e.harness import tenants
from e2e.harness.cgroups import CgroupError
from e2e.harness.cluster import NODE, Cluster, NoClusterError, is_ready
from e2e.harness.controller import find_controller
from e2e.harness.figures import machine
from e2e.harness.limit_watch import LimitsMissingError
from e2e.harness.wait import DeadlineExceededError

AGENTS = "agents"
MEMORY = "128Mi"
ENDS = (NoClusterError, CgroupError, DeadlineExceededError, LimitsMissingError, KeyboardInterrupt)
"""What ends a run early; what was measured before is reported all the same."""
RESOURCES = {
    "limits": {"cpu": f"{START_CPU_MILLICORES}m", "memory": MEMORY},
    "requests": {"cpu": "5m", "memory": "16Mi"},
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pods", type=int, default=50, help="running pods, all on one node (default: 50)")
    parser.add_argument("--changes", type=int, default=12, help="changes by each arm (default: 12)")
    parser.add_argument("--idle-seconds", type=float, default=30, help="to measure the idle controller over")
    parser.add_argument(
        "--quick", action="store_true", help="10 pods, 3 changes, no restart: does it work at all"
    )
    parser.add_argument("--no-restart", action="store_true", help="leave the controller running")
    options = parser.parse_args(arguments)
    if options.quick:
        options.pods, options.changes, options.idle_seconds, options.no_restart = 10, 3, 5.0, True
    if options.pods < 1 or options.changes < 1:
        parser.error("--pods and --changes must be at least 1")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        result = measure(Cluster(), options)
    except ENDS as error:
        print(f"error: {said(error)}", file=sys.stderr)
        return 1
    paths = report.write(result)
    print(f"\n{report.markdown(result)}")
    print(f"Written: {', '.join(map(str, paths))}")
    if result.ended_early:
        print(f"error: only a part of it was measured: {result.ended_early}", file=sys.stderr)
        return 1
    return 0


def measure(cluster: Cluster, options: argparse.Namespace) -> report.Result:
    start = time.monotonic()

    def say(text: str) -> None:
        elapsed = int(time.monotonic() - start)
        print(f"[{elapsed // 60:2}:{elapsed % 60:02}] {text}", flush=True)

    controller = find_controller(cluster)
    node = schedulable_node(cluster)
    changes: list[race.Change] = []
    idle = restarted = None
    ended_early = ""
    with cluster.temporary_namespaces("bench", "agents") as (tenant,):
        say(f"starting {options.pods} pods on node {node} in namespace {tenant}")
        cluster.apply(tenants.agents(AGENTS, tenant, replicas=options.pods, resources=RESOURCES, node=node))
        containers = cluster.wait_ready(tenant, options.pods, deadline_seconds=60 + 5 * options.pods)
        say("all are Ready")
        operator = OperatorArm(cluster, tenant, MEMORY)
        try:
            with BareLoopArm(cluster, containers) as bare_loop:
                for change in race.race(
                    cluster, operator, bare_loop, containers, controller, changes=options.changes
                ):
                    changes.append(change)
                    say(
                        f"change {(len(changes) + 1) // 2:2} of {options.changes} by the {change.arm:9}:"
                        f" first after {change.first_seconds:5.2f} s, last {change.last_seconds:5.2f} s"
                    )
                race.reset(cluster, bare_loop, containers)
            say(f"watching the idle controller for {options.idle_seconds:.0f} s")
            operator.prepare()
            race.settle(cluster, containers)
            idle = race.idle(controller, options.idle_seconds)
            if not options.no_restart:
                say("replacing the controller")
                restarted = race.restart(cluster, controller)
        except ENDS as error:
            if len(changes) < 2:
                raise
            ended_early = said(error)
        say("removing the pods")
    pairs = changes[: len(changes) // 2 * 2]
    return report.Result(machine(cluster.version), options.pods, pairs, idle, restarted, ended_early)


def said(error: BaseException) -> str:
    return str(error) or "interrupted"


def schedulable_node(cluster: Cluster) -> str:
    """The last Ready node that takes pods: a worker where there is one."""
    nodes = [
        item["metadata"]["labels"]["kubernetes.io/hostname"]
        for item in cluster.objects(NODE)
        if is_ready(item) and not item["spec"].get("taints") and not item["spec"].get("unschedulable")
    ]
    if not nodes:
        raise NoClusterError("no node is Ready and takes pods: see 'kubectl get nodes'")
    return str(nodes[-1])


if __name__ == "__main__":
    sys.exit(main())
