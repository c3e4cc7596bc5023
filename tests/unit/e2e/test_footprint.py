"""What is left on a node of pods that are gone."""

import pytest

from e2e.harness.footprint import Use, Zombie, millicores, parse
from e2e.harness.readings import CgroupError

A, B = "0aaaaaaa-1111-2222-3333-444444444444", "0bbbbbbb-1111-2222-3333-444444444444"
STATIC = "89cc84557a05b88b6f002e7baf4bf3f9"
ALL = "kubelet.slice/kubelet-kubepods.slice"


def slice_of(uid: str) -> str:
    return (
        f"{ALL}/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{uid.replace('-', '_')}.slice"
    )


def figures(path: str, cpu_seconds: float, mib: int, threads: int) -> str:
    return f"""\
directory ./cpuacct/{path}
directory ./memory/{path}
figure ./cpuacct/{path}/cpuacct.usage:{int(cpu_seconds * 1e9)}
figure ./memory/{path}/memory.stat:total_rss {mib << 20}
figure ./memory/{path}/memory.stat:total_shmem {1 << 20}
figure ./pids/{path}/pids.current:{threads}
"""


def process(pid: int, uid: str, files: int) -> str:
    path = f"{slice_of(uid)}/cri-containerd-{64 * '0'}.scope"
    return f"process /proc/{pid}/cgroup:4:memory:/{path}\nfiles {files} /proc/{pid}/fd\n"


def v1(at: float, cpu_seconds: float, mib: int, threads: int, *rest: str) -> str:
    return f"at {at}\n" + figures(ALL, cpu_seconds, mib, threads) + "".join(rest)


BOTH = (
    figures(slice_of(A), 10, 30, 5),
    figures(slice_of(B), 20, 40, 7),
    process(100, A, 12),
    process(200, B, 20),
    process(201, B, 3),
    "files 8 /proc/1/fd\n",
)


def test_each_pod_and_all_together() -> None:
    found = parse(v1(1.5, 100, 200, 50, *BOTH))
    assert found.at_seconds == 1.5
    assert found.pods == {A: Use(10, 31 << 20, 5, 1, 12), B: Use(20, 41 << 20, 7, 2, 23)}
    assert found.whole == Use(100, 201 << 20, 50, 3, 35), "the node's own processes aren't pods'"


def test_what_is_left_is_what_the_parent_has_more_than_those_that_are_there() -> None:
    found = parse(v1(1.5, 100, 200, 50, *BOTH))
    assert found.besides([A, B]) == Use(70, (201 - 31 - 41) << 20, 38, 0, 0)
    assert found.besides([B, "gone"]) == Use(80, (201 - 41) << 20, 43, 1, 12)


def test_cpu_of_a_pod_that_ended_in_between_counts() -> None:
    before = parse(v1(1.0, 100, 200, 50, *BOTH))
    after = parse(v1(3.0, 103, 160, 40, figures(slice_of(B), 22, 40, 7), process(200, B, 20)))
    assert millicores(before, after, [B]) == pytest.approx(500)


def test_cgroup_v2() -> None:
    path = slice_of(A)
    found = parse(
        f"""\
at 1.0
directory ./{ALL}
directory ./{path}
figure ./{ALL}/cpu.stat:usage_usec 2000000
figure ./{ALL}/memory.stat:anon 300
figure ./{ALL}/memory.stat:shmem 30
figure ./{ALL}/pids.current:9
figure ./{path}/cpu.stat:usage_usec 1500000
figure ./{path}/memory.stat:anon 100
figure ./{path}/memory.stat:shmem 10
figure ./{path}/pids.current:4
process /proc/7/cgroup:0::/{path}/cri-containerd-{64 * "0"}.scope
files 3 /proc/7/fd
"""
    )
    assert found.whole == Use(2.0, 330, 9, 1, 3)
    assert found.pods == {A: Use(1.5, 110, 4, 1, 3)}


def test_a_directory_without_processes_and_a_process_without_a_directory_are_seen() -> None:
    found = parse(v1(1, 1, 1, 1, f"directory ./freezer/{slice_of(A)}\n", process(100, B, 2)))
    assert found.pods == {A: Use(), B: Use(processes=1, open_files=2)}


def test_a_static_pod_goes_by_its_hash() -> None:
    assert parse(v1(1, 1, 1, 1, figures(slice_of(STATIC), 1, 1, 1))).pods.keys() == {STATIC}


def test_zombies() -> None:
    stat = "4711 (sh) (x) Z 1 4711 4711 0 -1 4227084 1 0 0 0 0 0 0 0 20 0 1 0 123456 0 0"
    assert parse(v1(1, 1, 1, 1, f"zombie {stat}\n")).zombies == {Zombie(4711, "sh) (x", 123456)}


def test_a_node_without_a_kubelet() -> None:
    with pytest.raises(CgroupError, match="does its kubelet run"):
        parse("at 1.0\n")
