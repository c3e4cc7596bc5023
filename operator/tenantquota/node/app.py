"""Puts the node agent together and runs it until it is told to stop."""

import gc
import logging
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from tenantquota.domain.usage import NANOSECONDS
from tenantquota.domain.weights import spare_milli
from tenantquota.kube.plain import ApiError, ApiServer, NodeIdentity, node_of
from tenantquota.node.cgroups.files import ReadErrors
from tenantquota.node.cgroups.layout import LayoutError
from tenantquota.node.cgroups.node import NodeCgroups
from tenantquota.node.exposition import CONTENT_TYPE
from tenantquota.node.http import Answer, Server
from tenantquota.node.informer import Index, Informer
from tenantquota.node.leaks import LeakWatch
from tenantquota.node.logs import log_json
from tenantquota.node.metrics import AgentState, View, exposition
from tenantquota.node.neighbours import Neighbours
from tenantquota.node.owners import PODS, QUOTAS, Pod, Quota, TenantsPods, read_pod, read_quota
from tenantquota.node.pressure import open_gates
from tenantquota.node.processes import Proc
from tenantquota.node.report import Reporter, ReportWriter
from tenantquota.node.sampler import PERIOD_SECONDS, Sampler
from tenantquota.node.scheduling import run_in_short_slices
from tenantquota.node.stalls import Stalls
from tenantquota.node.ticks import Ticks
from tenantquota.node.totals import TenantTotals
from tenantquota.node.weight_orders import WeightOrders
from tenantquota.node.weights import WeightFiles
from tenantquota.settings import NodeSettings

LOG: Final = logging.getLogger(__name__)

SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
ALLOCATABLE: Final = "ALLOCATABLE_CPU_MILLI"
"""In the environment: how much CPU the node has for pods, in millicores; without it, all its CPUs'."""
MAX_BEAT_SECONDS: Final = 10.0
"""A sampler that did not tick for so long hangs, and is to be started anew."""


def run(settings: NodeSettings, environment: Mapping[str, str]) -> int:
    """Runs until SIGTERM or SIGINT; what the program is to exit with."""
    log_json(settings.log_level)
    try:
        api = ApiServer(settings.api_server or ApiServer.address(environment), settings.credentials)
        agent = _Agent(settings, api, node_of(api.token()), int(environment.get(ALLOCATABLE, 0)))
    except (ApiError, LayoutError, OSError) as error:
        LOG.error("%s", error)  # noqa: TRY400 - says what to do; a traceback would hide it
        return 1
    return agent.run()


class _Agent:
    def __init__(
        self, settings: NodeSettings, api: ApiServer, node: NodeIdentity, allocatable_milli: int
    ) -> None:
        self._settings = settings
        self._node = node
        self._stop = threading.Event()
        self._broken = False
        pods, quotas = Index[Pod](), Index[Quota]()
        of_this_node = {"fieldSelector": f"spec.nodeName={node.name}"}
        self._pods_informer = Informer(api, PODS, of_this_node, read_pod, pods, self._stop)
        self._quotas_informer = Informer(api, QUOTAS, {}, read_quota, quotas, self._stop)
        self._owners = TenantsPods(pods, quotas, settings.system_namespaces)
        self._writer = ReportWriter(api, node.name, self._stop)
        errors = ReadErrors()
        proc = Proc(settings.proc_root, errors)
        cgroups = NodeCgroups(settings.cgroup_root, errors)
        gates = open_gates(
            cgroups.layout.version, settings.proc_root, settings.cgroup_root, cgroups.tree.kubepods, errors
        )
        self._sampler = Sampler(cgroups, proc, self._owners, errors, gates=gates)
        self._stalls = Stalls(node.name, gates, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        self._reporter = Reporter(node, settings.report_seconds, self._writer.put, pressure=self._stalls.sees)
        self._weights = WeightOrders(WeightFiles(settings.cgroup_root), settings.weights_socket)
        capacity_milli = os.sysconf("SC_NPROCESSORS_ONLN") * 1000
        self._allocatable_milli = allocatable_milli or capacity_milli
        self._neighbours = Neighbours(
            node.name, proc, self._weights, float(capacity_milli), self._spare_milli
        )
        self._ticks = Ticks(PERIOD_SECONDS, _signalled)
        self._totals = TenantTotals()
        self._leaks = LeakWatch()
        self._view = View((), time.monotonic_ns(), 0.0)
        self._state = AgentState(
            self._ticks,
            errors,
            self._sampler,
            self._writer,
            {"pods": self._pods_informer, "tenantquotas": self._quotas_informer},
            self._owners,
            self._totals,
            self._neighbours,
            self._weights,
            self._stalls,
        )
        self._server = Server(
            settings.http_port,
            {"/metrics": self._metrics, "/healthz": self._healthz, "/readyz": self._readyz},
        )

    def _spare_milli(self) -> int:
        owners = self._owners
        return spare_milli(self._allocatable_milli, owners.cpu_requested_milli(), owners.cpu_excess_milli())

    def run(self) -> int:
        """Until a signal, or until a thread without which it would be blind or mute has ended; then 1."""
        # Blocked in every thread, and taken by the sampler's wait: no handler that might run in the midst of
        # something, and no delay.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        # Before there are other threads, which inherit it: all share one interpreter.
        slice_ns = run_in_short_slices()
        for name, target in (
            ("pods", self._pods_informer.run),
            ("tenantquotas", self._quotas_informer.run),
            ("report", self._writer.run),
            ("http", self._server.serve_forever),
        ):
            threading.Thread(target=self._vital, args=(target,), name=name, daemon=True).start()
        LOG.info("node %s: sampling, in slices of %s ns", self._node.name, slice_ns or "the kernel's own")
        _allow_descriptors()
        gc.collect()
        gc.freeze()  # what was loaded stays; collections need not look at it
        for number in self._ticks:
            self._tick(number)
        self._stop.set()
        self._neighbours.give_back()
        self._weights.close()
        LOG.info("stopped after %d ticks", self._ticks.begun)
        return 1 if self._broken else 0

    def _vital(self, target: Callable[[], None]) -> None:
        """Ends the agent rather than let it go on without one of its threads; the kubelet starts it anew."""
        try:
            target()
        except Exception:
            LOG.exception("thread %s failed", threading.current_thread().name)
            self._broken = True
            os.kill(os.getpid(), signal.SIGTERM)

    def _tick(self, number: int) -> None:
        complete = self._owners.complete  # of before the tick, which then knew every owner
        tick = self._sampler.tick(number)
        containers = tuple(self._sampler.containers)
        self._totals.add(containers)
        self._leaks.after_tick(containers)
        self._view = View(containers, tick.at_ns, tick.seconds, self._leaks.found)
        if complete:
            self._neighbours.after_tick(tick, containers)
            self._stalls.after_tick(tick, containers)
            self._reporter.after_tick(
                containers,
                self._neighbours.holdings(),
                self._leaks.confirmed,
                self._stalls.harming(),
                any_held=any(container.owner.held for container in containers),
            )

    def _metrics(self) -> Answer:
        return Answer(200, exposition(self._view, self._state, self._settings.proc_root), CONTENT_TYPE)

    def _healthz(self) -> Answer:
        age = (time.monotonic_ns() - self._view.at_ns) / NANOSECONDS
        if age < MAX_BEAT_SECONDS:
            return Answer(200, b"ok\n")
        return Answer(503, f"the last tick was {age:.0f} s ago\n".encode())

    def _readyz(self) -> Answer:
        if not self._owners.complete:
            return Answer(503, b"which of this node's pods are tenants' is not known yet\n")
        if not self._ticks.begun:
            return Answer(503, b"nothing was sampled yet\n")
        return Answer(200, b"ok\n")


def _allow_descriptors() -> None:
    """As many as may be: a container takes some; the usual 1024 are for programs that use select."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _signalled(seconds: float) -> bool:
    """Waits so long for a signal to stop; whether it came."""
    return signal.sigtimedwait(SIGNALS, seconds) is not None
