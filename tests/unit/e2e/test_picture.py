"""The charts of a case as a picture for a document: whole, and of what was asked for."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from e2e.report.picture import cropped, main, picture
from e2e.results import Case, Chart, Line, Moment, MomentKind, Run, Span

SVG = "{http://www.w3.org/2000/svg}"


def over_time() -> Chart:
    return Chart(
        title="How long customers <wait>",
        unit="ms",
        lines=[Line(name="median & most", points=[(float(at), 20.0 + at) for at in range(100)])],
        spans=[Span(start=0, end=40, name="quiet"), Span(start=40, end=100, name="held")],
        moments=[Moment(at=40, kind=MomentKind.ONSET), Moment(at=90, kind=MomentKind.QUIET)],
    )


def bars() -> Chart:
    return Chart(title="Shares", unit="", lines=[Line(name="used", points=[(0, 1.0)])], bars=["a"])


def case(*charts: Chart, number: int = 4) -> Case:
    return Case(number=number, title="Isolation", about="", tenants=10, charts=list(charts))


def test_each_chart_stands_below_the_one_before_with_its_legend() -> None:
    made = ET.fromstring(picture(case(over_time(), bars())))  # noqa: S314 - our own
    first, second = made.findall(f"{SVG}svg")
    assert float(second.attrib["y"]) > float(first.attrib["y"]) + float(first.attrib["height"])
    _, _, _, high = map(float, made.attrib["viewBox"].split())
    assert high > float(second.attrib["y"]) + float(second.attrib["height"])
    texts = {text.text for text in made.iter(f"{SVG}text")}
    assert {"How long customers <wait>, ms", "Shares", "median & most", "quiet", "held", "used"} <= texts


def test_what_has_nothing_to_draw_is_told() -> None:
    with pytest.raises(ValueError, match="case 4 has no chart"):
        picture(case(Chart(title="", unit="", lines=[])))


def test_a_chart_over_time_is_cropped_and_one_of_bars_is_not() -> None:
    found = cropped(over_time(), 50)
    assert found.lines[0].points[-1] == (50.0, 70.0)
    assert [(span.start, span.end) for span in found.spans] == [(0, 40), (40, 50)]
    assert [moment.at for moment in found.moments] == [40]
    assert cropped(over_time(), 30).spans == [Span(start=0, end=30, name="quiet")]
    assert cropped(bars(), 0) == bars()


def test_a_report_becomes_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = report_of(tmp_path, case(over_time()))
    assert main([str(report), "--case", "4", "--until", "50"]) == 0
    assert ET.fromstring(capsys.readouterr().out).tag == f"{SVG}svg"  # noqa: S314 - our own


@pytest.mark.parametrize("text", [None, "", "{}"])
def test_what_is_no_report_is_told(
    tmp_path: Path, text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "e2e.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SystemExit):
        main([str(path), "--case", "4"])
    assert f"{path} is no report" in capsys.readouterr().err


def test_a_crop_that_leaves_nothing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(report_of(tmp_path, case(over_time()))), "--case", "4", "--until", "-1"])
    assert "case 4 has no chart with anything in it" in capsys.readouterr().err


def test_a_case_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(report_of(tmp_path, case(over_time()))), "--case", "5"])
    assert "has no case 5 with charts" in capsys.readouterr().err


def report_of(directory: Path, *cases: Case) -> Path:
    run = Run(started="2026-11-30T12:00:00+00:00", seconds=1, command="", machine={}, cases=list(cases))
    path = directory / "e2e.json"
    path.write_text(run.model_dump_json())
    return path
