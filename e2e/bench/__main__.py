"""The command line of the benchmark; see the package."""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from e2e.bench import neighbours, node_agent, node_agent_report, race, report
from e2e.bench.arms import START_CPU_MILLICORES, BareLoopArm, OperatorArm
from e2e.harness import tenants
from e2e.harness.cluster import NODE, Cluster, NoClusterError, is_ready
from e2e.harness.controller import find_controller
from e2e.harness.figures import machine
from e2e.harness.limit_watch import LimitsMissingError
from e2e.harness.node_agent import find_node_agents
from e2e.harness.readings import CgroupError
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
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{' or '.join(PARTS)} (default: all)")
    parser.add_argument("--pods", type=int, default=50, help="running pods, all on one node (default: 50)")
    parser.add_argument("--changes", type=int, default=12, help="changes by each arm (default: 12)")
    parser.add_argument("--idle-seconds", type=float, default=30, help="to measure the idle controller over")
    parser.add_argument(
        "--containers",
        type=int,
        nargs="+",
        default=list(node_agent.CONTAINERS),
        help=f"that the node agent follows (default: {' '.join(map(str, node_agent.CONTAINERS))})",
    )
    parser.add_argument(
        "--agent-seconds", type=float, default=60, help="to measure the node agent over, idle and busy each"
    )
    parser.add_argument("--onsets", type=int, default=20, help="of noise (default: 20)")
    parser.add_argument("--rounds", type=int, default=6, help="of latencies, 40 s each (default: 6)")
    parser.add_argument(
        "--quick", action="store_true", help="few pods, changes and seconds, no restart: does it work at all"
    )
    parser.add_argument("--no-restart", action="store_true", help="leave the controller running")
    options = parser.parse_args(arguments)
    if options.quick:
        options.pods, options.changes, options.idle_seconds, options.no_restart = 10, 3, 5.0, True
        options.containers, options.agent_seconds = [10], 15.0
        options.onsets, options.rounds = 2, 1
    if options.pods < 1 or options.changes < 1:
        parser.error("--pods and --changes must be at least 1")
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: the parts are {' and '.join(PARTS)}")
    if min(options.containers) < node_agent.CONTAINERS_PER_POD:
        parser.error(f"--containers must be at least {node_agent.CONTAINERS_PER_POD}, those of one pod")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        cluster = Cluster()
        for part in options.parts or PARTS:
            if code := PARTS[part](cluster, options):
                return code
    except ENDS as error:
        print(f"error: {said(error)}", file=sys.stderr)
        return 1
    return 0


def limits(cluster: Cluster, options: argparse.Namespace) -> int:
    """How fast limits are; the exit code."""
    result = measure(cluster, options)
    paths = report.write(result)
    print(f"\n{report.markdown(result)}")
    print(f"Written: {', '.join(map(str, paths))}\n")
    if result.ended_early:
        print(f"error: only a part of it was measured: {result.ended_early}", file=sys.stderr)
    return 1 if result.ended_early else 0


def node(cluster: Cluster, options: argparse.Namespace) -> int:
    """What the node agent costs; the exit code."""
    agent = find_node_agents(cluster)[schedulable_node(cluster)]
    costs = node_agent.measure(
        cluster, agent, containers=options.containers, seconds=options.agent_seconds, say=speaker()
    )
    where = machine(cluster.version)
    paths = node_agent_report.write(where, costs)
    print(f"\n{node_agent_report.markdown(where, costs)}")
    print(f"Written: {', '.join(map(str, paths))}\n")
    return 0


def noisy(cluster: Cluster, options: argparse.Namespace) -> int:
    """How fast a noisy neighbour yields, and what its victim feels; the exit code."""
    result = neighbours.measure(
        cluster, find_node_agents(cluster), count=options.onsets, rounds=options.rounds, say=speaker()
    )
    where = machine(cluster.version)
    paths = neighbours.write(where, result)
    print(f"\n{neighbours.markdown(where, result)}")
    print(f"Written: {', '.join(map(str, paths))}\n")
    return 0


PARTS: Final[Mapping[str, Callable[[Cluster, argparse.Namespace], int]]] = {
    "limits": limits,
    "node": node,
    "neighbours": noisy,
}


def speaker() -> Callable[[str], None]:
    """Prints with the time that has passed."""
    start = time.monotonic()

    def say(text: str) -> None:
        elapsed = int(time.monotonic() - start)
        print(f"[{elapsed // 60:2}:{elapsed % 60:02}] {text}", flush=True)

    return say


def measure(cluster: Cluster, options: argparse.Namespace) -> report.Result:
    say = speaker()
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
