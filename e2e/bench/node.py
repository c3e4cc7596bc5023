"""What the node agent's sampling costs, measured on cgroups made by hand. Run: ``python -m e2e.bench.node``.

The sampler runs in a process and cgroup of its own, as it would in its pod; the cgroup says what it used, all
of it. The table on the real cluster, API client and metrics included, is the benchmark's (``e2e.bench``).
Takes root.
"""

import argparse
import gc
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from e2e.bench import koordlet
from e2e.harness.handmade import CGROUP_ROOT, Container, Kubelet
from tenantquota.node.cgroups.files import ReadErrors
from tenantquota.node.cgroups.node import NodeCgroups
from tenantquota.node.containers import Owner
from tenantquota.node.processes import Proc
from tenantquota.node.sampler import PERIOD_SECONDS, Sampler
from tenantquota.node.ticks import Ticks

COUNTS: Final = (50, 150, 250)
THREADS: Final = 3

_THREADS: Final = """
import sys, threading, time
for _ in range(int(sys.argv[1]) - 1):
    threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()
print("ready", flush=True)
"""
"""So many threads that sleep, and what the main one does comes after."""
IDLE: Final = f"{_THREADS}time.sleep(1e6)"
WAITING: Final = f"""{_THREADS}
while True:
    time.sleep(0.5)
"""
"""Wakes up twice a second and does next to nothing, as an agent does that waits for work."""
BUSY: Final = f"""{_THREADS}
while True:
    time.sleep(1)
    end = time.process_time() + 0.002
    while time.process_time() < end:
        pass
"""
"""Uses enough in each second for all its files to be read; 250 of them still leave the machine half idle."""
WORKLOADS: Final = {"idle": IDLE, "waiting": WAITING, "busy": BUSY}


class Everybody:
    """An owner for every container of the pods whose uids come as arguments."""

    revision = 0

    def __init__(self, pod_uids: Sequence[str]) -> None:
        self._owners = {
            uid: Owner(f"tenant-{uid}", f"tenant-{uid}", f"agent-{uid}", "agent") for uid in pod_uids
        }

    def owner_of(self, pod_uid: str, container_id: str) -> Owner | None:
        return self._owners.get(pod_uid)


@dataclass(frozen=True)
class Cost:
    """What sampling cost over some time."""

    containers: int
    workload: str
    seconds: float
    millicores: float
    memory_bytes: int
    """Of the cgroup, page cache that can be given back left out; kernel memory is in it."""
    resident_bytes: int
    descriptors: int
    tick_p50_seconds: float
    tick_p99_seconds: float
    period_error_p99_seconds: float
    bad_reads: int

    @property
    def millicores_per_container(self) -> float:
        return self.millicores / self.containers


def sample_until_told(pod_uids: Sequence[str]) -> None:
    """The process that is measured: samples until SIGTERM, then prints its figures as JSON."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    errors = ReadErrors()
    proc = Proc(Path("/proc"), errors)
    sampler = Sampler(NodeCgroups(CGROUP_ROOT, errors), proc, Everybody(pod_uids), errors)
    ticks = Ticks(PERIOD_SECONDS, stop.wait)
    durations: list[float] = []
    gc.collect()
    gc.freeze()
    for number in ticks:
        durations.append(sampler.tick(number).seconds)
        if number == 0:
            print(len(sampler.containers), flush=True)
    durations = sorted(durations[1:])
    print(
        json.dumps(
            {
                "tick_p50_seconds": durations[len(durations) // 2],
                "tick_p99_seconds": durations[int(0.99 * len(durations))],
                "period_error_p99_seconds": ticks.period_error_seconds(),
                "bad_reads": errors.total,
            }
        )
    )


def measure(count: int, workload: str, seconds: float) -> Cost:
    """Starts ``count`` containers, and the sampler beside them."""
    with Kubelet() as kubelet, Kubelet(qos="besteffort") as elsewhere:
        containers = [kubelet.start(cpu_milli=1000, memory_bytes=256 << 20) for _ in range(count)]
        for container in containers:
            container.python(WORKLOADS[workload], str(THREADS))
        agent = elsewhere.start()
        process = agent.run(
            [sys.executable, "-m", "e2e.bench.node", "--agent", *(item.pod_uid for item in containers)]
        )
        assert process.stdout is not None
        followed = int(process.stdout.readline() or 0)
        if followed != count:
            raise SystemExit(f"the sampler found {followed} of {count} containers")
        time.sleep(2.5)  # past the first looks, which are at everything
        start, before = time.monotonic(), cpu_seconds(agent)
        time.sleep(seconds)
        elapsed, used = time.monotonic() - start, cpu_seconds(agent) - before
        memory, resident = memory_bytes(agent), resident_bytes(process)
        descriptors = len(os.listdir(f"/proc/{process.pid}/fd"))  # noqa: PTH208
        process.send_signal(signal.SIGTERM)
        figures = json.loads(process.communicate()[0])
    return Cost(count, workload, elapsed, used / elapsed * 1000, memory, resident, descriptors, **figures)


def cpu_seconds(container: Container) -> float:
    """CPU time that the cgroup used since it was made."""
    try:
        return int(container.file("cpuacct.usage").read_text()) / 1e9
    except StopIteration:
        return int(container.file("cpu.stat").read_text().split()[1]) / 1e6


def memory_bytes(container: Container) -> int:
    """The cgroup's working set."""
    stat = dict(line.split() for line in container.file("memory.stat").read_text().splitlines())
    try:
        usage = container.file("memory.usage_in_bytes")
    except StopIteration:
        usage = container.file("memory.current")
    return int(usage.read_text()) - int(stat.get("total_inactive_file", stat["inactive_file"]))


def resident_bytes(process: subprocess.Popen[str]) -> int:
    pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def table(costs: Sequence[Cost]) -> str:
    """Markdown that reads as plain text too."""
    lines = [
        "| containers | workload | millicores | per container | of koordlet's | memory | resident"
        " | descriptors | tick p50 / p99 | period error p99 |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for cost in costs:
        lines.append(
            f"| {cost.containers} | {cost.workload} | {cost.millicores:.1f}"
            f" | **{cost.millicores_per_container:.3f}**"
            f" | 1/{koordlet.MILLICORES_PER_CONTAINER / cost.millicores_per_container:.0f}"
            f" | {cost.memory_bytes / 2**20:.1f} MiB | {cost.resident_bytes / 2**20:.1f} MiB"
            f" | {cost.descriptors}"
            f" | {cost.tick_p50_seconds * 1000:.1f} / {cost.tick_p99_seconds * 1000:.1f} ms"
            f" | {cost.period_error_p99_seconds * 1000:.1f} ms |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m e2e.bench.node", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--containers", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--workload", choices=WORKLOADS, nargs="+", default=list(WORKLOADS))
    parser.add_argument("--seconds", type=float, default=30, help="to measure each over")
    parser.add_argument("--agent", nargs="+", metavar="POD_UID", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.agent:
        sample_until_told(options.agent)
        return 0
    costs = []
    for workload in options.workload:
        for count in options.containers:
            print(
                f"{count} {workload} containers, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True
            )
            costs.append(measure(count, workload, options.seconds))
    print(table(costs))
    print(json.dumps([asdict(cost) for cost in costs]), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
