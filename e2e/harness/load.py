"""Customers' load on served tenants, from a pod that is no tenant's."""

import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from e2e.cluster.deploy import TENANT
from e2e.harness import tenants
from e2e.harness.cluster import POD, Cluster, Manifest
from e2e.harness.served import AGENT, Tenant
from e2e.harness.wait import DeadlineExceededError
from e2e.load.plan import Connected, Plan, Sample, Started, Target, Told, decode, encode_plan
from e2e.load.schedule import due

DRIVER: Final = "driver"
RESOURCES: Final = {"requests": {"cpu": "100m", "memory": "64Mi"}}
"""Several times what it uses. In latencies its own waiting would look like the victims', so it may run before
all others (``e2e.load.priority``); it tells how late it was."""
FIRST: Final = {
    "runAsUser": 0,
    "runAsNonRoot": False,
    "capabilities": {"drop": ["ALL"], "add": ["SYS_NICE"]},
}
"""Root without any other capability, so that its threads may run by deadlines."""
TOLD_SECONDS: Final = 1.0
"""After these most of what was due is answered and told."""
ANSWERED_SECONDS: Final = 3.0
"""After these a request is counted as answered late or never."""
MARGIN_SECONDS: Final = 30.0
"""For what a driver does before and after the load itself."""


class LoadFailedError(Exception):
    """The driver ended early; the text is its last words."""


@dataclass(frozen=True)
class Answers:
    """What came of the requests that were due within some time.

    Attributes:
        start, seconds: of that time, since the start of the load.
        answered: by tenant.
        failed: by tenant, when they were due.
    """

    start: float
    seconds: float
    answered: dict[str, list[Sample]]
    failed: dict[str, list[float]]

    def latencies_ms(self, of: Iterable[str] | None = None) -> list[float]:
        """Of these tenants, or of all."""
        return [ms for tenant in (of or self.answered) for _, ms in self.answered.get(tenant, [])]

    @property
    def failures(self) -> int:
        return sum(map(len, self.failed.values()))


class Load:
    """A load that runs from ``__enter__`` on, and until ``__exit__`` at most."""

    def __init__(self, command: Sequence[str], plan: Plan) -> None:
        self._plan = plan
        self._command = command
        self._news = threading.Condition()
        self._started: float | None = None
        self._told_seconds = 0.0
        self._ended = False
        self._answered: defaultdict[str, list[Sample]] = defaultdict(list)
        self._failed: defaultdict[str, list[float]] = defaultdict(list)
        self.late_ms: list[float] = []
        self.connected = Connected({}, {})

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._write(encode_plan(self._plan))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self._wait(lambda: self._started is not None, self._plan.connect_seconds + MARGIN_SECONDS)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tell_to_stop()
        try:
            self._process.wait(MARGIN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    @property
    def now(self) -> float:
        """Seconds since the start of the load."""
        assert self._started is not None
        return time.monotonic() - self._started

    def stop(self) -> None:
        """Sends no more, and waits for the answers that are due.

        Raises:
            LoadFailedError, DeadlineExceededError: when the driver doesn't end in order.
        """
        self._tell_to_stop()
        self.wait()

    def _tell_to_stop(self) -> None:
        assert self._process.stdin is not None
        self._write("stop")
        with suppress(OSError):
            self._process.stdin.close()

    def _write(self, line: str) -> None:
        """A driver that has ended says itself why, and one that was told to stop needn't be told again."""
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def wait(self) -> None:
        """Until the load is over and all was told.

        Raises:
            LoadFailedError, DeadlineExceededError: when the driver doesn't end in order.
        """
        self._wait(lambda: self._ended, max(0.0, self._plan.seconds - self.now) + MARGIN_SECONDS)
        if self._process.wait(MARGIN_SECONDS):
            raise LoadFailedError(self._last_words())

    def wait_until(self, second: float) -> None:
        """Until so many seconds of the load were told of.

        Raises:
            LoadFailedError, DeadlineExceededError: when they aren't.
        """
        self._wait(lambda: self._told_seconds >= second, max(0.0, second - self.now) + MARGIN_SECONDS)

    def between(self, start: float, end: float) -> Answers:
        """What is known of the requests that were due then."""
        with self._news:
            answered = {
                target.tenant: [each for each in self._answered[target.tenant] if start <= each[0] < end]
                for target in self._plan.targets
            }
            failed = {
                target.tenant: [each for each in self._failed[target.tenant] if start <= each < end]
                for target in self._plan.targets
            }
        return Answers(start, end - start, answered, failed)

    def late_between(self, start: float, end: float) -> list[float]:
        """How late the driver sent what was due then, in ms."""
        dues = due(self._plan.targets, self._plan.seconds, self._plan.seed)
        with self._news:
            return [late for (at, _), late in zip(dues, self.late_ms, strict=False) if start <= at < end]

    def all(self) -> Answers:
        """What is known of all requests."""
        return self.between(0.0, self._plan.seconds)

    def _wait(self, condition: Callable[[], bool], seconds: float) -> None:
        with self._news:
            if not self._news.wait_for(lambda: condition() or self._ended, seconds):
                raise DeadlineExceededError(f"the load driver said nothing for {seconds:.0f} s")
            if not condition():
                raise LoadFailedError(self._last_words())

    def _last_words(self) -> str:
        assert self._process.stderr is not None
        return f"the load driver ended: {self._process.stderr.read().strip()[-2000:]}"

    def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            for text in self._process.stdout:
                line = decode(text)
                with self._news:
                    self._take(line)
                    self._news.notify_all()
        finally:
            with self._news:
                self._ended = True
                self._news.notify_all()

    def _take(self, line: Connected | Started | Told) -> None:
        match line:
            case Connected():
                self.connected = line
            case Started():
                self._started = time.monotonic()
            case Told():
                self._told_seconds = line.second
                self.late_ms += line.late_ms
                for tenant, answered in line.answered.items():
                    self._answered[tenant] += [(due, ms) for due, ms in answered]
                for tenant, failed in line.failed.items():
                    self._failed[tenant] += failed


@dataclass(frozen=True)
class DriverPod:
    """Where the load comes from."""

    cluster: Cluster
    namespace: str

    def load(self, targets: Sequence[Target], seconds: float, *, connect_seconds: float = 60.0) -> Load:
        """Requests to these for so long, once entered."""
        command = (*self.cluster.kubectl_command, "exec", "--stdin")
        where = (f"--namespace={self.namespace}", DRIVER, "--", "python", "-m", "e2e.load")
        return Load((*command, *where), Plan(targets, seconds, connect_seconds))


@contextmanager
def driver_pod(cluster: Cluster) -> Iterator[DriverPod]:
    """Running, in a namespace of its own that is no tenant's."""
    with cluster.temporary_namespaces("load", DRIVER, patient=False) as (namespace,):
        pod = sleeper(DRIVER, namespace, RESOURCES)
        pod["spec"]["containers"][0]["securityContext"] |= FIRST
        cluster.apply(pod)
        cluster.wait_ready(namespace, 1)
        yield DriverPod(cluster, namespace)


def sleeper(name: str, namespace: str, resources: tenants.Resources) -> Manifest:
    """A pod that does nothing by itself, in which drivers can be run."""
    pod = tenants.agent(name, namespace, resources=resources)
    (container,) = pod["spec"]["containers"]
    container |= {"image": TENANT.current, "command": ["sleep", "infinity"]}
    return pod


def target(
    tenant: Tenant,
    requests_per_second: float,
    cpu_milliseconds: float,
    *,
    agent: str = AGENT,
) -> Target:
    """One of the tenant's agents, by the address of its pod."""
    address = tenant.cluster.get(POD, agent, tenant.name)["status"]["podIP"]
    return Target(
        tenant=tenant.name,
        url=f"ws://{address}:{tenants.PORT}/",
        token=tenant.token(),
        requests_per_second=requests_per_second,
        cpu_milliseconds=cpu_milliseconds,
    )
