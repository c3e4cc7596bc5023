"""Containers with something read of them."""

from tenantquota.domain.usage import NANOSECONDS, Detail, Limits, Processes, RunDelay, Sample
from tenantquota.node.containers import Container, Owner

MI = 2**20


def sample(at_seconds: float = 1.0, **fields: int | None) -> Sample:
    """All zero but for the fields that are given."""
    known = dict.fromkeys(Sample._fields, 0) | {"at_ns": round(at_seconds * NANOSECONDS)} | fields
    return Sample(**known)


def detail(**fields: int | None) -> Detail:
    return Detail(**(dict.fromkeys(Detail._fields, 0) | {"at_ns": NANOSECONDS} | fields))


def container(
    id_: str = "a",
    *,
    tenant: str = "acme",
    pod: str = "agent",
    name: str = "main",
    cpu_milli: int | None = 500,
    memory_bytes: int | None = 256 * MI,
) -> Container:
    """With limits and nothing else."""
    of = Container(id_, f"uid-{pod}", Owner(tenant, f"ns-{tenant}", pod, name), NANOSECONDS)
    quota_us = None if cpu_milli is None else cpu_milli * 100
    of.limits = Limits(NANOSECONDS, quota_us, 100_000, memory_bytes)
    return of


def used(of: Container, *, seconds: int = 10, cpu_milli: int = 100, memory_bytes: int = 32 * MI) -> Container:
    """After so many seconds of that use."""
    for second in range(seconds + 1):
        of.samples.append(
            sample(
                second + 1,
                cpu_usage_ns=second * cpu_milli * 1_000_000,
                nr_periods=second * 10,
                nr_throttled=second,
                throttled_ns=second * 5_000_000,
                cpu_waiting_us=second * 1000,
                memory_usage_bytes=memory_bytes + MI,
                inactive_file_bytes=MI,
                io_read_bytes=second * 4096,
                io_written_bytes=second * 8192,
            )
        )
    of.details.append(detail(memory_peak_bytes=memory_bytes + 2 * MI, oom_kills=1))
    of.processes.append(Processes(NANOSECONDS, processes=3, open_files=17, **_threads(5)))
    of.run_delays.append(RunDelay(NANOSECONDS, 1_500_000_000, 42))
    return of


def _threads(count: int) -> dict[str, int]:
    return {"threads": count} if "threads" in Processes._fields else {}
