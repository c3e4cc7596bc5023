"""The machine's output becomes ours, and its exit code too. Booting it is what ``make test`` does."""

import io
from pathlib import Path

import pytest

from e2e.cgroup2vm import __main__ as command_line
from e2e.cgroup2vm import image, machine
from e2e.cgroup2vm.image import Image
from e2e.cluster.console import StepError


def lines(text: str) -> list[str]:
    """As a serial console writes them."""
    return [f"{line}\r\n" for line in text.splitlines()]


@pytest.mark.parametrize("code", [0, 1, 5])
def test_ends_with_the_commands_exit_code(code: int) -> None:
    out = io.StringIO()
    assert machine.follow(lines(f"one\ntwo\nexit code {code}\n[ 1.0] power off"), out) == code
    assert out.getvalue() == "one\ntwo\n"


@pytest.mark.parametrize("said", ["", "one\n[ 9.2] Kernel panic - not syncing"])
def test_says_so_when_it_ended_otherwise(said: str) -> None:
    with pytest.raises(StepError, match=r"the machine ended by itself, .*; its last line: .+"):
        machine.follow(lines(said), io.StringIO())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["tests/kernel"]),
        (["-x"], ["-x", "tests/kernel"]),
        (["-x", "tests/kernel/test_accuracy.py"], ["-x", "tests/kernel/test_accuracy.py"]),
    ],
)
def test_runs_the_kernel_tests_unless_told_otherwise(
    arguments: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[list[str]] = []

    def run(_image: Image, _repository: Path, command: list[str]) -> int:
        ran.append(command)
        return 3

    monkeypatch.setattr(image, "ensure", lambda *_: Image(tmp_path, tmp_path, ()))
    monkeypatch.setattr(machine, "run", run)
    assert command_line.main(arguments) == 3
    assert ran == [[*command_line.PYTEST, *expected]]


def test_what_failed_is_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> Image:
        raise StepError("packing: failed", hint="make room")

    monkeypatch.setattr(image, "ensure", fail)
    assert command_line.main([]) == 1
    assert capsys.readouterr().err == "\nerror: packing: failed\nmake room\n"


def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TENANTQUOTA_CACHE", "relative")
    assert command_line.main([]) == 2
    assert "TENANTQUOTA_CACHE=relative: give an absolute path" in capsys.readouterr().err
