"""``kubectl tenantquota replay``."""

import json
from pathlib import Path
from typing import Any

import pytest

from tenantquota.cli.app import main

MIB = 2**20


def series(
    folder: Path,
    name: str = "run.csv",
    *,
    mib_per_minute: float = 50,
    seconds: int = 120,
    header: str = "seconds,memory_bytes,cpu_percent",
) -> Path:
    rows = [f"{at},{int((200 + at * mib_per_minute / 60) * MIB)},5.0" for at in range(seconds)]
    file = folder / name
    file.write_text("\n".join([header, *rows, ""]))
    return file


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_line_per_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = series(tmp_path)
    assert main(["replay", str(file)]) == 0
    [line] = lines(capsys)
    assert list(line)[:5] == ["file", "kind", "stage", "at_seconds", "rate_per_minute"]
    assert (line["file"], line["kind"], line["stage"]) == (str(file), "memory_fast", "confirmed")
    assert line["at_seconds"] <= 60
    assert line["rate_per_minute"] == pytest.approx(50 * MIB, rel=0.05)
    assert line["ended_at_seconds"] is None


def test_nothing_of_a_run_without_a_leak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(series(tmp_path, mib_per_minute=0))]) == 0
    assert lines(capsys) == []


def test_the_end_of_a_finding_stands_in_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = series(tmp_path)
    with file.open("a") as more:
        more.writelines(f"{at},{200 * MIB},5\n" for at in range(120, 140))
    main(["replay", str(file)])
    [line] = lines(capsys)
    assert 120 <= line["ended_at_seconds"] <= 130


def test_columns_in_any_order_and_more_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.csv"
    rows = [f"x,{20 + 5 * at},{at},{at // 10 * 50},7,{200 * MIB}" for at in range(90)]
    header = "note,processes,seconds,open_files,cpu_percent,memory_bytes"
    file.write_text("\ufeff" + "\r\n".join([header, *rows]), encoding="utf-8")
    assert main(["replay", str(file)]) == 0
    assert {line["kind"] for line in lines(capsys)} == {"open_files", "processes"}


def test_an_empty_field_is_a_sample_that_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = series(tmp_path)
    file.write_text(file.read_text().replace(",5.0\n", ",\n"))
    assert main(["replay", str(file)]) == 0
    assert len(lines(capsys)) == 1


def test_thresholds_and_limits_are_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(series(tmp_path))
    main(["replay", file, "--memory-fast-per-minute=200Mi", "--memory-slow-per-minute=100Mi"])
    assert lines(capsys) == []
    main(["replay", file, "--memory-limit=512Mi"])
    [line] = lines(capsys)
    assert line["limit_in_seconds"] == pytest.approx((512 - 200) / 50 * 60 - line["at_seconds"], abs=5)
    main(["replay", file, "--cpu-percent=4", "--cpu-seconds=60", "--memory-fast-per-minute=1Gi"])
    assert [line["kind"] for line in lines(capsys)] == ["cpu"]
    main(["replay", file, "--cpu-limit=50m", "--cpu-seconds=60", "--memory-fast-per-minute=1Gi"])
    assert [line["kind"] for line in lines(capsys)] == ["cpu"]


def test_suspicions_are_printed_on_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["replay", "--suspected", str(series(tmp_path))])
    assert [line["stage"] for line in lines(capsys)] == ["suspected", "confirmed"]


HEADER = b"seconds,memory_bytes,cpu_percent\n"


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        (b"", ":1:", "is empty: the first line must name the columns seconds, memory_bytes"),
        (HEADER, ":2:", "has no samples: add lines below"),
        (b"seconds,cpu_percent\n1,2\n", ":1:", "has no column memory_bytes"),
        (b"seconds;memory_bytes;cpu_percent\n1;2;3\n", ":1:", "with commas between them"),
        (b"seconds,seconds,memory_bytes,cpu_percent\n1,1,2,3\n", ":1:", "names the column seconds twice"),
        (HEADER + b"1,2,3\n2,12MB,3\n", ":3:", "memory_bytes is '12MB': write a plain number"),
        (HEADER + b"1,-2,3\n", ":2:", "memory_bytes is '-2'"),
        (HEADER + b"1,2,nan\n", ":2:", "cpu_percent is 'nan'"),
        (HEADER + b"1,2,inf\n", ":2:", "cpu_percent is 'inf'"),
        (HEADER + b",2,3\n", ":2:", "seconds is empty: each line needs its time"),
        (HEADER + b"1,2,3\n2,2\n", ":3:", "has 2 fields, the first line 3"),
        (HEADER + b"5,2,3\n\n4,2,3\n", ":4:", "seconds goes back from 5 to 4: sort the lines"),
        (HEADER + b'1,"2,3\n', ":2:", "is no CSV"),
        (HEADER + b"1,2,\xff\xfe\n", ":", "is not UTF-8: save it as CSV in UTF-8"),
        (HEADER.decode().encode("utf-16"), ":", "is not UTF-8"),
    ],
)
def test_a_bad_file_is_named_and_the_others_are_replayed(
    content: bytes, place: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = tmp_path / "bad.csv", series(tmp_path)
    bad.write_bytes(content)
    assert main(["replay", str(bad), str(good)]) == 2
    out, err = capsys.readouterr()
    assert f"{bad}{place}" in err
    assert message in err
    assert len(err.splitlines()) == len(out.splitlines()) == 1


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(tmp_path / "none.csv"), str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "none.csv: No such file or directory: name a CSV file that can be read" in err
    assert f"{tmp_path}: Is a directory" in err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--memory-fast-per-minute=much", "'much' is not an amount of memory above 0, such as 50Mi"),
        ("--memory-slow-per-minute=0", "'0' is not an amount of memory above 0"),
        ("--cpu-percent=-1", "'-1' is not a number above 0"),
        ("--cpu-limit=fast", "'fast' is not an amount of CPU above 0, such as 500m"),
    ],
)
def test_a_bad_option_is_named(option: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["replay", "run.csv", option])
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
