"""Once a second: which containers there are, whose they are, and what each of them uses."""

import time
from collections.abc import Callable, Collection, Iterable
from typing import Final, NamedTuple

from tenantquota.domain.usage import NANOSECONDS, Sample, increase, went_back
from tenantquota.node.cgroups.files import ReadErrors, VanishedError
from tenantquota.node.cgroups.node import NodeCgroups
from tenantquota.node.cgroups.reader import Reader
from tenantquota.node.cgroups.tree import Leaf
from tenantquota.node.containers import Container, Owners
from tenantquota.node.pressure import Gates, Looks, Stalled
from tenantquota.node.processes import Proc, Tasks

PERIOD_SECONDS: Final = 1.0
TASKS_TICKS: Final = 10
"""A leak of files or processes is to be found within a minute, from several looks."""
DETAIL_TICKS: Final = 30
"""Peaks and sums, which lose nothing by being read late."""
RECHECK_TICKS: Final = 60
"""Limits and directories are read when the kernel says that somebody wrote them, and this often anyway."""
IDLE_FACTOR: Final = 3
"""So much more seldom is a container looked at that used no CPU since the last look."""
NODE_WAITED_US: Final = 10_000
WAITED_US: Final = 5_000
"""A second in which the node's threads together waited less than the first, or a container's less than the
second, had no contention in it: 1 and 0.5 % of the time."""


class Tick(NamedTuple):
    """What one tick did."""

    number: int
    at_ns: int
    seconds: float
    """How long it took."""
    appeared: list[Container]
    gone: list[Container]
    """Their files are closed; what was read of them stays."""
    contended: bool = True
    """A thread of the node waited for a CPU, or may have."""
    stalled: Stalled = Stalled()
    looked_at: Collection[Container] = ()
    """Those whose stalls were read."""


class _Rare:
    """Something that is done every so many ticks."""

    __slots__ = ("_due", "_ticks", "_usage_ns")

    def __init__(self, ticks: int) -> None:
        self._ticks = ticks
        self._due = 0
        self._usage_ns: int | None = None

    def is_due(self, number: int, usage_ns: int | None) -> bool:
        """In tick ``number``, for a container that has used so much CPU time."""
        if number < self._due:
            return False
        idle = usage_ns is not None and usage_ns == self._usage_ns
        return not idle or number >= self._due + (IDLE_FACTOR - 1) * self._ticks

    def done(self, number: int, usage_ns: int | None, stagger: int) -> None:
        """
        Args:
            stagger: the next time comes so much earlier.
        """
        self._due = number + self._ticks - stagger % self._ticks
        self._usage_ns = usage_ns


class _Followed:
    """A container that is read."""

    __slots__ = (
        "container",
        "detail",
        "leaf",
        "limits",
        "looks",
        "reader",
        "stagger",
        "tasks",
        "tasks_look",
        "unsaid",
    )

    def __init__(self, leaf: Leaf, container: Container, reader: Reader, tasks: Tasks, stagger: int) -> None:
        self.leaf = leaf
        self.container = container
        self.reader = reader
        self.tasks = tasks
        self.stagger = stagger
        """Keeps those that were found together from being due together; 0 after the first look."""
        self.detail = _Rare(DETAIL_TICKS)
        self.looks = Looks()
        self.limits = _Rare(RECHECK_TICKS)
        self.tasks_look = _Rare(TASKS_TICKS)
        self.unsaid = False
        """Its limits had changed when they were last read, of which the kernel had not told yet."""

    def close(self) -> None:
        self.tasks.close()
        self.reader.close()


class Sampler:
    """Follows the containers that have an owner.

    Args:
        errors: the one that ``cgroups`` and ``proc`` count in.
        gates: None where nobody asks who stalls.
    """

    def __init__(
        self,
        cgroups: NodeCgroups,
        proc: Proc,
        owners: Owners,
        errors: ReadErrors,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        gates: Gates | None = None,
    ) -> None:
        self.errors = errors
        self.counter_resets = 0
        """How often a counter went back, which ends the history that it was part of."""
        self._cgroups = cgroups
        self._proc = proc
        self._owners = owners
        self._clock_ns = clock_ns
        self._gates = gates
        self._followed: dict[str, _Followed] = {}
        self._unowned: dict[str, Leaf] = {}
        self._revision: int | None = None
        self._found = 0
        self._recheck_due = 0
        self._node_waiting_us: int | None = None

    @property
    def containers(self) -> Collection[Container]:
        """Those that are followed now."""
        return [followed.container for followed in self._followed.values()]

    def tick(self, number: int) -> Tick:
        """Reads what is due in tick ``number``, which grows by more than one where ticks were missed."""
        at_ns = self._clock_ns()
        contended = self._node_contended()
        stalled = self._gates.look() if self._gates else Stalled()
        looked_at: list[Container] = []
        tick = Tick(number, at_ns, 0.0, [], [], contended, stalled, looked_at)
        self._cgroups.poll()
        self._ask_again(tick)
        self._look(tick, everywhere=number >= self._recheck_due)
        if number >= self._recheck_due:
            self._recheck_due = number + RECHECK_TICKS
        if self._read_all(self._followed.values(), tick, looked_at):
            known = set(self._followed)
            self._look(tick)  # those that ended may have been replaced
            new = [followed for container_id, followed in self._followed.items() if container_id not in known]
            self._read_all(new, tick, looked_at)
        return tick._replace(seconds=(self._clock_ns() - at_ns) / NANOSECONDS)

    def close(self) -> None:
        for followed in self._followed.values():
            followed.close()
        self._followed.clear()
        self._unowned.clear()

    def _look(self, tick: Tick, *, everywhere: bool = False) -> None:
        """Takes up what the tree says is new and drops what is gone."""
        changes = self._cgroups.tree.look(everywhere=everywhere)
        for leaf in changes.gone:
            self._unowned.pop(leaf.container_id, None)
            if followed := self._followed.get(leaf.container_id):
                self._drop(followed, tick)
        for leaf in changes.appeared:
            self._take_up(leaf, tick)

    def _take_up(self, leaf: Leaf, tick: Tick) -> None:
        owner = self._owners.owner_of(leaf.pod_uid, leaf.container_id)
        if owner is None:
            self._unowned[leaf.container_id] = leaf
            return
        self._unowned.pop(leaf.container_id, None)
        try:
            reader = self._cgroups.open(leaf)
        except (VanishedError, OSError) as error:
            # version 1's directories aren't made all at once
            if isinstance(error, OSError):
                self.errors.count("directory", error)
            self._cgroups.tree.forget(leaf)
            return
        container = Container(leaf.container_id, leaf.pod_uid, owner, tick.at_ns, leaf.path)
        tasks = Tasks(self._proc, self.errors)
        self._followed[leaf.container_id] = _Followed(leaf, container, reader, tasks, self._found)
        self._found += 1
        tick.appeared.append(container)

    def _drop(self, followed: _Followed, tick: Tick) -> None:
        del self._followed[followed.leaf.container_id]
        followed.close()
        tick.gone.append(followed.container)

    def _ask_again(self, tick: Tick) -> None:
        """Whose the containers are, where that may have changed."""
        revision = self._owners.revision
        if revision == self._revision:
            return
        self._revision = revision
        for followed in list(self._followed.values()):
            leaf = followed.leaf
            owner = self._owners.owner_of(leaf.pod_uid, leaf.container_id)
            if owner is None:
                self._drop(followed, tick)
                self._unowned[leaf.container_id] = leaf
            else:
                followed.container.owner = owner
        for leaf in list(self._unowned.values()):
            self._take_up(leaf, tick)

    def _node_contended(self) -> bool:
        before, self._node_waiting_us = self._node_waiting_us, self._proc.cpu_waiting_us()
        waited_us = increase(before, self._node_waiting_us)
        return waited_us is None or waited_us > NODE_WAITED_US

    def _read_all(self, all_: Iterable[_Followed], tick: Tick, looked_at: list[Container]) -> bool:
        """Reads what is due, and drops those that have ended; whether there were any."""
        ended = [followed for followed in all_ if not self._read(followed, tick, looked_at)]
        for followed in ended:
            self._drop(followed, tick)
            self._cgroups.tree.forget(followed.leaf)
        return bool(ended)

    def _read(self, followed: _Followed, tick: Tick, looked_at: list[Container]) -> bool:
        """Reads what is due of a container; false when it has ended."""
        container, reader = followed.container, followed.reader
        number, contended = tick.number, tick.contended
        try:
            previous, sample = container.samples.latest, reader.sample(waiting_possible=contended)
            if previous is not None and went_back(previous, sample):
                self.counter_resets += 1
                container.forget()
                previous = None
            container.samples.append(sample)
            self._read_limits(followed, number)
            self._read_tasks(followed, number, sample, waited=_waited(previous, sample, contended))
            due = followed.detail.is_due(number, sample.cpu_usage_ns)
            if due:
                followed.detail.done(number, sample.cpu_usage_ns, followed.stagger)
                container.details.append(reader.detail())
            if self._gates is not None and (due or tick.stalled.io or tick.stalled.memory):
                followed.looks.look(container, reader, sample.cpu_usage_ns, tick.stalled, due=due)
                looked_at.append(container)
        except VanishedError:
            return False
        followed.stagger = 0
        return True

    def _read_limits(self, followed: _Followed, number: int) -> None:
        """Always of use, whatever the container does: others write them."""
        written = followed.reader.limits_written()
        if followed.unsaid and not written:
            self.errors.count_reason("inotify", "missed")
        followed.unsaid = False
        if not written and not followed.limits.is_due(number, None):
            return
        container, limits = followed.container, followed.reader.limits()
        if limits is None:
            followed.limits = _Rare(RECHECK_TICKS)  # due again at once
            return
        followed.unsaid = not written and container.limits is not None and limits[1:] != container.limits[1:]
        followed.limits.done(number, None, followed.stagger)
        container.limits = limits

    def _read_tasks(self, followed: _Followed, number: int, sample: Sample, *, waited: bool) -> None:
        container, reader, tasks = followed.container, followed.reader, followed.tasks
        if followed.tasks_look.is_due(number, sample.cpu_usage_ns):
            followed.tasks_look.done(number, sample.cpu_usage_ns, followed.stagger)
            processes, delay = tasks.look(self._clock_ns(), reader.process_ids, reader.thread_ids)
            if processes.threads is not None:
                processes = processes._replace(zombies=reader.zombies(processes.threads))
            container.processes.append(processes)
        elif waited:
            delay = tasks.run_delay(self._clock_ns(), reader.thread_ids)
        else:
            return
        if delay is not None:
            container.run_delays.append(delay)


def _waited(previous: Sample | None, sample: Sample, contended: bool) -> bool:
    """A thread of the container waited for a CPU; where its cgroup doesn't say so, one of the node's did."""
    waited_us = previous and increase(previous.cpu_waiting_us, sample.cpu_waiting_us)
    return contended if waited_us is None else waited_us > WAITED_US
