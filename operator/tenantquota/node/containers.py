"""A tenant's container as the agent follows it, and whose it is."""

from typing import Final, NamedTuple, Protocol

from tenantquota.domain.findings import DEFAULTS, Thresholds
from tenantquota.domain.usage import (
    NANOSECONDS,
    Detail,
    IoStall,
    Limits,
    MemoryStall,
    Processes,
    Rates,
    RunDelay,
    Sample,
    increase,
    rates,
    working_set_bytes,
)
from tenantquota.node.window import LastTwo, Window

SAMPLES: Final = 60
"""A minute: the shortest leak is to be found within one, and who holds a neighbour up within seconds."""
DETAILS: Final = 60
"""Ten minutes."""


class Owner(NamedTuple):
    """Whose a container is."""

    tenant: str
    namespace: str
    pod: str
    container: str
    """Empty while the kubelet has not said yet which container of the pod it is."""
    weight: int = 100
    """``spec.weight`` of the quota."""
    enforces: bool = True
    """False: the quota only observes."""
    cpu_request_milli: int = 0
    """Of the whole pod, as the kubelet reckons its CPU weight from it."""
    thresholds: Thresholds = DEFAULTS
    """Of leaks."""
    held: bool = False
    """The quota's status tells of a hold."""
    memory_request_bytes: int = 0
    """Of the whole pod."""
    resizing: bool = False
    """The kubelet is about to change the pod's resources."""
    starting: bool = False
    """The kubelet has not said that the container runs, or has ended."""
    latency_sensitive: bool = False
    """``spec.latencySensitive`` of the quota."""
    cpu_excess_milli: int = 0
    """What the kubelet shows the pod to request beyond what it does."""


class Owners(Protocol):
    """Who owns what on this node, as the API server has it."""

    @property
    def revision(self) -> int:
        """Changes whenever an answer of ``owner_of`` may have changed."""

    def owner_of(self, pod_uid: str, container_id: str) -> Owner | None:
        """None: it is no tenant's (pause containers, the system's pods), or not known yet.

        Called for every container when it appears, and for all of them when ``revision`` has changed.
        """


class Container:
    """One container and what was read of it."""

    __slots__ = (
        "details",
        "first_seen_ns",
        "id",
        "io_stalls",
        "limits",
        "memory_stalls",
        "owner",
        "path",
        "pod_uid",
        "processes",
        "run_delays",
        "samples",
    )

    def __init__(
        self,
        id: str,  # noqa: A002
        pod_uid: str,
        owner: Owner,
        first_seen_ns: int,
        path: str = "",
    ) -> None:
        self.id = id
        self.pod_uid = pod_uid
        self.path = path
        """The directory of its cgroup, relative to the hierarchy's root."""
        self.owner = owner
        self.first_seen_ns = first_seen_ns
        self.samples = Window(Sample, SAMPLES)
        self.details = Window(Detail, DETAILS)
        self.processes = Window(Processes, DETAILS)
        self.run_delays = Window(RunDelay, SAMPLES)
        self.io_stalls = LastTwo[IoStall]()
        self.memory_stalls = LastTwo[MemoryStall]()
        self.limits: Limits | None = None
        """As last read; its ``at_ns`` says when."""

    @property
    def pod_path(self) -> str:
        """The directory of the pod's cgroup."""
        return self.path.rpartition("/")[0]

    @property
    def working_set_bytes(self) -> int | None:
        latest = self.samples.latest
        return None if latest is None else working_set_bytes(latest)

    def rates(self, seconds: float) -> Rates | None:
        """Over the last ``seconds``, give or take half a second, or over as many as there are samples of."""
        latest = self.samples.latest
        if latest is None:
            return None
        earliest_ns = latest.at_ns - round((seconds + 0.5) * NANOSECONDS)
        return rates(self.samples.since(earliest_ns)[0], latest)

    @property
    def throttled(self) -> bool:
        """Its own quota throttled it between the last two samples."""
        sample, before = self.samples.latest, self.samples.previous
        return bool(sample and before and increase(before.nr_throttled, sample.nr_throttled))

    def waits(self) -> RunDelay | None:
        """How long its threads waited between the last two samples, and how often one got a CPU. None where
        that isn't known or its own quota throttled it, which the kernel counts as waiting."""
        return None if self.throttled else self._delayed()

    def kept_from_cpu_ns(self) -> int:
        """For how long its threads waited between the last two samples, without the time for which its own
        quota throttled it; 0 where that isn't known. The kernel counts that time by CPU, so that some of it
        is left where more threads than CPUs were throttled."""
        sample, before, delayed = self.samples.latest, self.samples.previous, self._delayed()
        if sample is None or before is None or delayed is None:
            return 0
        return max(0, delayed.run_delay_ns - (increase(before.throttled_ns, sample.throttled_ns) or 0))

    def _delayed(self) -> RunDelay | None:
        sample, delay, before = self.samples.latest, self.run_delays.latest, self.run_delays.previous
        if sample is None or delay is None or before is None or delay.at_ns < sample.at_ns:
            return None
        # In the seconds that weren't looked at nobody waited (see Sampler), so it is all of this one.
        return RunDelay(
            delay.at_ns, delay.run_delay_ns - before.run_delay_ns, delay.timeslices - before.timeslices
        )

    def forget(self) -> None:
        """Begins anew: what was read so far has nothing to do with what comes."""
        windows = (self.samples, self.details, self.processes, self.run_delays)
        for window in (*windows, self.io_stalls, self.memory_stalls):
            window.clear()
