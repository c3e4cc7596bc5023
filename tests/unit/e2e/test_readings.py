"""What the harness makes of cgroup files, on both versions. The samples are from real nodes."""

import pytest

from e2e.harness.readings import CpuUse, Reading, cpu_use, parse_contents, parse_reading

ID = "c0ffee" * 10 + "beef"
V1_GROUP = f"kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod0.slice/cri-containerd-{ID}.scope"
V1 = f"""\
cpu/{V1_GROUP}/cpu.cfs_quota_us:25000
cpu/{V1_GROUP}/cpu.cfs_period_us:100000
cpu/{V1_GROUP}/cpu.stat:nr_periods 120
cpu/{V1_GROUP}/cpu.stat:nr_throttled 100
cpu/{V1_GROUP}/cpu.stat:throttled_time 21000000000
cpuacct/{V1_GROUP}/cpuacct.usage:3000000000
memory/{V1_GROUP}/memory.limit_in_bytes:134217728
memory/{V1_GROUP}/memory.usage_in_bytes:11440128
memory/{V1_GROUP}/memory.oom_control:oom_kill_disable 0
memory/{V1_GROUP}/memory.oom_control:under_oom 0
memory/{V1_GROUP}/memory.oom_control:oom_kill 2
memory/{V1_GROUP}/memory.stat:inactive_file 0
memory/{V1_GROUP}/memory.stat:total_inactive_file 1048576
memory/{V1_GROUP}/memory.stat:total_rss 2097152
blkio/{V1_GROUP}/blkio.throttle.io_service_bytes_recursive:254:0 Read 4096
blkio/{V1_GROUP}/blkio.throttle.io_service_bytes_recursive:254:0 Write 8192
blkio/{V1_GROUP}/blkio.throttle.io_service_bytes_recursive:254:0 Total 12288
blkio/{V1_GROUP}/blkio.throttle.io_service_bytes_recursive:Total 12288
pids/{V1_GROUP}/pids.current:3
"""
V2_GROUP = f"./kubelet/kubepods/burstable/pod0/{ID}"
V2 = f"""\
{V2_GROUP}/cpu.max:25000 100000
{V2_GROUP}/cpu.stat:usage_usec 3000000
{V2_GROUP}/cpu.stat:nr_periods 120
{V2_GROUP}/cpu.stat:nr_throttled 100
{V2_GROUP}/memory.max:134217728
{V2_GROUP}/memory.current:11440128
{V2_GROUP}/memory.events:oom 3
{V2_GROUP}/memory.events:oom_kill 2
{V2_GROUP}/memory.stat:inactive_file 1048576
{V2_GROUP}/memory.stat:anon 2097152
{V2_GROUP}/io.stat:254:0 rbytes=4096 wbytes=4096 rios=1 wios=1 dbytes=0 dios=0
{V2_GROUP}/io.stat:254:16 rbytes=0 wbytes=4096 rios=0 wios=1 dbytes=0 dios=0
{V2_GROUP}/pids.current:3
"""
EXPECTED = Reading(
    at_seconds=5.0,
    cpu_limit_millicores=250,
    memory_limit_bytes=128 << 20,
    cpu_used_seconds=3.0,
    periods=120,
    throttled_periods=100,
    memory_used_bytes=11440128,
    working_set_bytes=11440128 - 1048576,
    anonymous_bytes=2097152,
    oom_kills=2,
    io_read_bytes=4096,
    io_written_bytes=8192,
    threads=3,
)


@pytest.mark.parametrize("lines", [V1, V2], ids=["v1", "v2"])
def test_reads_limits_and_use(lines: str) -> None:
    assert parse_reading(5.0, parse_contents(lines)[ID]) == EXPECTED


@pytest.mark.parametrize(
    ("lines", "limits"),
    [
        (V1, {"quota_us:25000": "quota_us:-1", "in_bytes:134217728": "in_bytes:9223372036854771712"}),
        (V2, {"max:25000 100000": "max:max 100000", "max:134217728": "max:max"}),
    ],
    ids=["v1", "v2"],
)
def test_reads_no_limit(lines: str, limits: dict[str, str]) -> None:
    for limit, none in limits.items():
        lines = lines.replace(limit, none)
    reading = parse_reading(5.0, parse_contents(lines)[ID])
    assert (reading.cpu_limit_millicores, reading.memory_limit_bytes) == (None, None)


def test_a_container_that_never_read_or_wrote_has_no_devices() -> None:
    idle = "\n".join(line for line in V2.splitlines() if "io.stat" not in line)
    reading = parse_reading(5.0, parse_contents(idle)[ID])
    assert (reading.io_read_bytes, reading.io_written_bytes) == (0, 0)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(KeyError, match=r"cpuacct\.usage"):
        parse_reading(5.0, parse_contents(V1.replace("cpuacct.usage", "cpuacct.other"))[ID])


def test_use_between_two_readings() -> None:
    after = parse_reading(
        7.0,
        parse_contents(
            V2.replace("usage_usec 3000000", "usage_usec 3500000")
            .replace("nr_periods 120", "nr_periods 140")
            .replace("nr_throttled 100", "nr_throttled 119")
        )[ID],
    )
    assert cpu_use(EXPECTED, after) == CpuUse(seconds=2.0, millicores=250.0, periods=20, throttled_periods=19)
