import platform
import threading

import pytest

from tenantquota.node.scheduling import SLICE_NANOSECONDS, run_in_short_slices


def in_a_thread(machine: str | None = None) -> int | None:
    """What it gives there; the tests themselves keep their slices."""
    found: list[int | None] = []
    thread = threading.Thread(target=lambda: found.append(run_in_short_slices(machine)))
    thread.start()
    thread.join()
    return found[0]


def test_the_kernel_grants_what_it_knows() -> None:
    kernel = tuple(int(part) for part in platform.release().split(".")[:2])
    if kernel < (6, 12):
        assert in_a_thread() in (None, SLICE_NANOSECONDS), "it may keep what it ignores"
    else:
        assert in_a_thread() == SLICE_NANOSECONDS


def test_machines_whose_system_calls_are_not_known_go_without() -> None:
    assert in_a_thread("vax") is None


def test_a_refusal_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenantquota.node.scheduling.SYSCALLS", {"test": (100_000, 100_001)})
    assert in_a_thread("test") is None
