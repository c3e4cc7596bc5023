"""Puts the node agent together and runs it until it is told to stop."""

import gc
import json
import logging
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from tenantquota.domain.usage import NANOSECONDS
from tenantquota.kube.plain import ApiError, ApiServer, NodeIdentity, node_of
from tenantquota.node.cgroups.files import ReadErrors
from tenantquota.node.cgroups.layout import LayoutError
from tenantquota.node.cgroups.node import NodeCgroups
from tenantquota.node.exposition import CONTENT_TYPE
from tenantquota.node.http import Answer, Server
from tenantquota.node.informer import Index, Informer
from tenantquota.node.leaks import LeakWatch
from tenantquota.node.metrics import AgentState, View, exposition
from tenantquota.node.owners import PODS, QUOTAS, Pod, Quota, TenantsPods, read_pod, read_quota
from tenantquota.node.processes import Proc
from tenantquota.node.report import Reporter, ReportWriter
from tenantquota.node.sampler import PERIOD_SECONDS, Sampler
from tenantquota.node.scheduling import run_in_short_slices
from tenantquota.node.ticks import Ticks
from tenantquota.node.totals import TenantTotals
from tenantquota.settings import NodeSettings

LOG: Final = logging.getLogger(__name__)

SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
MAX_BEAT_SECONDS: Final = 10.0
"""A sampler that did not tick for so long hangs, and is to be started anew."""


def run(settings: NodeSettings, environment: Mapping[str, str]) -> int:
    """Runs until SIGTERM or SIGINT; what the program is to exit with."""
    _log_json(settings.log_level)
    try:
        api = ApiServer(settings.api_server or ApiServer.address(environment), settings.credentials)
        agent = _Agent(settings, api, node_of(api.token()))
    except (ApiError, LayoutError, OSError) as error:
        LOG.error("%s", error)  # noqa: TRY400 - says what to do; a traceback would hide it
        return 1
    return agent.run()


class _Agent:
    def __init__(self, settings: NodeSettings, api: ApiServer, node: NodeIdentity) -> None:
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
        self._reporter = Reporter(node, settings.report_seconds, self._writer.put)
        errors = ReadErrors()
        self._sampler = Sampler(
            NodeCgroups(settings.cgroup_root, errors),
            Proc(settings.proc_root, errors),
            self._owners,
            errors,
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
        )
        self._server = Server(
            settings.http_port,
            {"/metrics": self._metrics, "/healthz": self._healthz, "/readyz": self._readyz},
        )

    def run(self) -> int:
        """Until a signal, or until a thread without which it would be blind or mute has ended; then 1."""
        # Blocked in every thread, and taken by the sampler's wait: no handler that might run in the midst of
        # something, and no delay.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        for name, target in (
            ("pods", self._pods_informer.run),
            ("tenantquotas", self._quotas_informer.run),
            ("report", self._writer.run),
            ("http", self._server.serve_forever),
        ):
            threading.Thread(target=self._vital, args=(target,), name=name, daemon=True).start()
        slice_ns = run_in_short_slices()
        LOG.info("node %s: sampling, in slices of %s ns", self._node.name, slice_ns or "the kernel's own")
        _allow_descriptors()
        gc.collect()
        gc.freeze()  # what was loaded stays; collections need not look at it
        for number in self._ticks:
            self._tick(number)
        self._stop.set()
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
            self._reporter.after_tick(containers, self._leaks.confirmed)

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


class _Json(logging.Formatter):
    """One object a line, with the keys of the controller's log."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return json.dumps(
            {
                "message": message,
                "timestamp": f"{stamp}.{record.msecs:03.0f}Z",
                "severity": record.levelname.lower(),
                "logger": record.name,
            }
        )


def _log_json(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Json())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
