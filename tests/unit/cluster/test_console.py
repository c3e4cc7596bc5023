"""What a person sees of a step, and what is left of one that fails."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.cluster.console import Console, StepError, duration, end_group, last_line, output_of, succeeds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", ""),
        ("$ go build\n", ""),
        ("$ go build\na/b\nc/d\n\n", "c/d"),
        ("10%\r20%\r30%", "30%"),
        ("x" * 9000, "x" * 100),
        ("caf\xe9\n", "caf\ufffd"),
    ],
)
def test_last_line_of_a_growing_log(tmp_path: Path, content: str, line: str) -> None:
    log = tmp_path / "log"
    log.write_bytes(content.encode("latin-1"))
    assert last_line(log) == line


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_quick_step_says_nothing_and_logs_its_output(tmp_path: Path) -> None:
    out = io.StringIO()
    console = Console(tmp_path / "logs", out=out, silent=30)
    console.run("greeting", python("print('hello')"), step="greet")
    assert out.getvalue() == ""
    assert (tmp_path / "logs/greet.log").read_text().endswith("hello\n")


class Impatient(io.StringIO):
    """Makes a file as soon as a line with a certain text was written."""

    def __init__(self, text: str, file: Path) -> None:
        super().__init__()
        self._text = text
        self._file = file

    def write(self, text: str, /) -> int:
        if self._text in text:
            self._file.touch()
        return super().write(text)


def test_a_long_step_says_that_it_runs_where_it_is_and_how_long_it_took(tmp_path: Path) -> None:
    out = Impatient("at: compiling", tmp_path / "go")
    console = Console(tmp_path, out=out, silent=0, heartbeat=0.02)
    until_told = "import pathlib, time\nprint('compiling', flush=True)\n"
    until_told += "while not pathlib.Path('go').exists(): time.sleep(0.01)"
    console.run("building", python(until_told), step="build", cwd=tmp_path)
    lines = out.getvalue().splitlines()
    assert lines[0] == f"[ 0:00] building (log: {tmp_path / 'build.log'})"
    assert any(re.fullmatch(r"\[ 0:\d\d] building: \d+ s, at: compiling", line) for line in lines)
    assert re.fullmatch(r"\[ 0:\d\d] building: done in \d+ s", lines[-1])


def test_a_failed_step_says_what_to_do_and_where_its_output_is(tmp_path: Path) -> None:
    console = Console(tmp_path, out=io.StringIO())
    with pytest.raises(StepError, match="building: failed with exit code 3") as caught:
        console.run("building", python("print('why'); raise SystemExit(3)"), step="build", hint="Try again.")
    assert caught.value.hint == "Try again."
    assert caught.value.log is not None
    assert "why" in caught.value.log.read_text()


def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="cannot run no-such-command"):
        Console(tmp_path).run("building", ["no-such-command"], step="build")


def test_steps_of_one_run_share_a_log_and_the_next_run_starts_it_anew(tmp_path: Path) -> None:
    for _ in range(2):
        console = Console(tmp_path)
        for word in ("one", "two"):
            console.run("saying", python(f"print('{word}')"), step="say")
        said = (tmp_path / "say.log").read_text().splitlines()
        assert [line for line in said if not line.startswith("$")] == ["one", "two"]


def test_a_step_gets_its_input_even_if_it_reads_none_of_it(tmp_path: Path) -> None:
    console = Console(tmp_path)
    console.run(
        "reading", python("import sys; print(len(sys.stdin.read()))"), step="read", stdin="x" * 100_000
    )
    assert last_line(tmp_path / "read.log") == "100000"
    console.run("not reading", python("pass"), step="read", stdin="x" * 1_000_000)


def test_what_a_step_has_started_ends_with_it() -> None:
    parent = subprocess.Popen(
        ["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
        end_group(parent)
        assert parent.returncode == -15
        assert parent.stdout.read() == ""  # the child held the other end, and is gone
    assert child != parent.pid


def test_short_commands() -> None:
    assert output_of(python("print('x')")) == "x"
    assert succeeds(python("pass"))
    assert not succeeds(python("raise SystemExit(1)"))
    assert not succeeds(["no-such-command"])
    with pytest.raises(StepError, match="no answer within 0 s"):
        output_of(python("import time; time.sleep(600)"), timeout=0.2)
    with pytest.raises(StepError, match="broken"):
        output_of(python("raise SystemExit('broken')"))
