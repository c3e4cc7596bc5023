"""Lines for charts, by the very script, from files that look like a node's."""

import time
from pathlib import Path

import pytest

from e2e.harness import nodes, usage
from e2e.harness.cgroups import NodeCgroups
from e2e.harness.cluster import Container
from e2e.harness.usage import Usage
from e2e.harness.wait import wait_until
from e2e.results import MomentKind

ID = "c0ffee" * 10 + "beef"
CONTAINER = Container("acme", "agent", "agent", "node", ID, 0)
MIB = 1 << 20


class Group:
    """A container's cgroup of version 2, in a pod's."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "kubepods" / "pod0" / ID
        self.directory.mkdir(parents=True)
        self.write(cpu_seconds=1.0)
        for file, text in (
            ("cpu.max", "20000 100000"),
            ("memory.max", str(128 * MIB)),
            ("memory.current", str(26 * MIB)),
            ("memory.events", "oom_kill 0"),
            ("memory.stat", "inactive_file 0\nanon 0"),
            ("pids.current", "3"),
            ("../cpu.weight", "2"),
        ):
            (self.directory / file).write_text(f"{text}\n")

    def write(self, *, cpu_seconds: float) -> None:
        stat = f"usage_usec {round(cpu_seconds * 1e6)}\nnr_periods 10\nnr_throttled 5\n"
        (self.directory / "cpu.stat").write_text(stat)


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Group:
    made = Group(tmp_path)
    monkeypatch.setattr(usage, "SCRIPT", usage.SCRIPT.replace("/sys/fs/cgroup", str(tmp_path)))
    monkeypatch.setattr(nodes, "command", lambda _node: [])
    where = frozenset([f"./{made.directory.relative_to(tmp_path)}"])
    monkeypatch.setattr(NodeCgroups, "directories", lambda *_: where)
    return made


def test_what_it_draws(group: Group) -> None:
    with Usage({"hog": CONTAINER}, every_seconds=0.05) as looks:
        wait_until(lambda: looks.readings("hog"), what="a first look", deadline_seconds=10)
        group.write(cpu_seconds=2.0)
        seen = len(looks.readings("hog"))
        wait_until(lambda: len(looks.readings("hog")) > seen + 1, what="further looks", deadline_seconds=10)
        looks.mark(MomentKind.ONSET, "hog")
        looks.mark(MomentKind.FOUND, at_seconds=looks.start_seconds + 2)

    cpu = looks.cpu("hog").points
    starts = [at for at, _ in looks.memory("hog").points[:-1]]
    used = sum(millicores * (at - start) for start, (at, millicores) in zip(starts, cpu, strict=True))
    assert used == pytest.approx(1000, rel=0.2), "a second of CPU, whenever it was seen"
    assert {value for _, value in looks.memory("hog").points} == {26.0}
    assert {value for _, value in looks.weight("hog").points} == {2.0}
    limit = looks.line("hog", lambda reading: reading.cpu_limit_millicores, called="limit", muted=True)
    assert (limit.name, limit.muted, {value for _, value in limit.points}) == ("limit", True, {200})
    assert looks.line("hog", lambda _: None).points == []
    assert [(moment.kind, moment.text) for moment in looks.moments] == [("onset", "hog"), ("found", "")]
    assert looks.moments[1].at == 2.0
    assert 0 <= cpu[0][0] <= looks.moments[0].at + 1 < time.time()


def test_a_line_ends_with_its_container(group: Group) -> None:
    with Usage({"hog": CONTAINER}, every_seconds=0.05) as looks:
        wait_until(lambda: looks.readings("hog"), what="a first look", deadline_seconds=10)
        for file in group.directory.iterdir():
            file.unlink()
        time.sleep(0.3)  # some looks that find nothing
        seen = len(looks.readings("hog"))
        time.sleep(0.3)
        assert len(looks.readings("hog")) == seen
