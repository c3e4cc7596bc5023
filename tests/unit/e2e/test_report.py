"""The report of a run, as HTML, JSON and JUnit."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from e2e import report
from e2e.report import words
from e2e.report.charts import axis, draw
from e2e.report.charts.bars import short
from e2e.report.charts.lines import MOMENT_ROWS
from e2e.report.charts.svg import apart
from e2e.report.junit import junit
from e2e.report.page import page
from e2e.results import (
    Bound,
    Case,
    Chart,
    Line,
    Moment,
    MomentKind,
    Outcome,
    Run,
    Source,
    Verdict,
    VerdictState,
)
from tests.unit.e2e.report_sample import LONG, empty, failing, sample

RUNS = pytest.mark.parametrize("run", [sample(), failing(), empty()], ids=["sample", "failing", "empty"])
LOADS = re.compile(r"""\b(?:src|srcset|href|data|action|poster)=["'](?!#)|@import|url\((?!#)""")


def document(run: Run) -> ET.Element:
    return ET.fromstring(page(run))  # noqa: S314 - our own


def text(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def one(what: str, outcome: str = "passed") -> Case:
    tests = [Outcome(name="test_it", text="it holds", outcome=outcome, seconds=1)]
    return Case(number=4, title=what, about="", tenants=2, tests=tests)


def run_of(*cases: Case, incomplete: str = "") -> Run:
    return empty().model_copy(update={"cases": list(cases), "incomplete": incomplete})


@RUNS
def test_three_files_are_written(run: Run, tmp_path: Path) -> None:
    paths = report.write(run, tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["e2e.html", "e2e.json", "e2e.xml"]
    assert Run.model_validate_json(paths.json.read_text()) == run


@RUNS
def test_the_page_is_well_formed_and_loads_nothing(run: Run) -> None:
    made = page(run)
    root = ET.fromstring(made)  # noqa: S314 - our own
    assert not LOADS.search(made)
    assert "//" not in re.sub(r"\s//\s", "", made).replace("</", "")
    assert not {element.tag for element in root.iter()} & {"script", "link", "img", "iframe", "object", "use"}


@RUNS
def test_ids_are_unique_and_links_lead_to_one(run: Run) -> None:
    elements = list(document(run).iter())
    ids = [element.attrib["id"] for element in elements if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    assert {element.attrib["href"] for element in elements if "href" in element.attrib} <= {
        f"#{id_}" for id_ in ids
    }


@RUNS
def test_all_of_the_run_is_on_the_page(run: Run) -> None:
    said = text(document(run))
    for case in run.cases:
        told = [case.title, case.variant, case.about, *case.notes]
        told += [bound.what for bound in case.bounds]
        told += [words.allowed(bound) for bound in case.bounds]
        told += [chart.title for chart in case.charts] + [chart.note for chart in case.charts]
        told += [line.name for chart in case.charts for line in chart.lines]
        told += [test.text for test in case.tests]
        if case.verdict is not None:
            told += [case.verdict.text, *case.verdict.reasons]
        for each in told:
            assert " ".join(each.split()) in said
    for each in (
        run.command,
        run.incomplete,
        *(value for value in run.machine.values() if isinstance(value, str)),
    ):
        assert each in said


@RUNS
def test_counts_agree_with_the_tables(run: Run) -> None:
    counts = words.counts(run)
    results = [
        text(element) for element in document(run).iter("span") if "result" in element.get("class", "")
    ]
    assert results.count("✓ met") == counts.bounds.good + counts.goals.good
    missed = counts.bounds.all - counts.bounds.good + counts.goals.all - counts.goals.good
    assert results.count("✗ missed") == missed


def test_pictures_have_words() -> None:
    pictures = [svg for svg in document(failing()).iter("svg") if svg.get("role") == "img"]
    assert len(pictures) == 2 * 3  # wide and narrow; one chart has no point
    for svg in pictures:
        title, description = svg.find("title"), svg.find("desc")
        assert title is not None
        assert description is not None
        assert title.text
        assert description.text


def test_a_message_is_shown_without_its_control_characters() -> None:
    (message,) = (text(element) for element in document(failing()).iter("pre"))
    assert message.startswith("DeadlineExceededError: <script>alert('&')</script>")


@pytest.mark.parametrize(
    ("run", "tone", "headline"),
    [
        (sample(), words.Tone.GOOD, "Tenants are isolated"),
        (failing(), words.Tone.BAD, "2 of 3 cases failed"),
        (empty(), words.Tone.OPEN, "The run is not complete"),
        (run_of(one("a")), words.Tone.GOOD, "The case passed"),
        (run_of(one("a"), one("b")), words.Tone.GOOD, "All 2 cases passed"),
        (run_of(one("a"), one("b", "failed")), words.Tone.BAD, "1 of 2 cases failed"),
        (run_of(one("a", "skipped")), words.Tone.OPEN, "The run is not complete"),
        (run_of(one("a"), incomplete="Interrupted."), words.Tone.OPEN, "The run is not complete"),
    ],
)
def test_the_headline(run: Run, tone: words.Tone, headline: str) -> None:
    assert words.headline(run)[:2] == (tone, headline)
    assert run.passed is (tone is words.Tone.GOOD)


@pytest.mark.parametrize(
    ("states", "tone"),
    [
        ([VerdictState.ISOLATED], words.Tone.GOOD),
        ([VerdictState.ISOLATED, VerdictState.CANNOT_TELL], words.Tone.OPEN),
        ([VerdictState.ISOLATED, VerdictState.CANNOT_TELL, VerdictState.NOT_ISOLATED], words.Tone.BAD),
    ],
)
def test_the_worst_verdict_is_the_runs(states: list[VerdictState], tone: words.Tone) -> None:
    verdicts = [Verdict(state=state, text=f"It is {state}.") for state in states]
    run = run_of(*(one(v.state).model_copy(update={"verdict": v}) for v in verdicts))
    assert words.headline(run).tone is tone
    assert words.headline(run).sentences == [verdict.text for verdict in verdicts]


def test_a_failed_case_outweighs_a_good_verdict() -> None:
    good = one("a").model_copy(update={"verdict": Verdict(state=VerdictState.ISOLATED, text="+3 %.")})
    headline = words.headline(run_of(good, one("b", "failed")))
    assert headline.tone is words.Tone.BAD
    assert headline.sentences == ["Failed: Case 4: b, 2 tenants.", "+3 %."]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"), (0.0123, "0.012"), (0.4, "0.4"), (1.6, "1.6"), (33.04, "33"), (33.14, "33.1"),
        (999.6, "1,000"), (1234.5, "1,234"), (-4.26, "-4.26"), (0.00001234, "1.2e-05"), (60.0, "60"),
    ],
)  # fmt: skip
def test_figures_have_three_digits(value: float, said: str) -> None:
    assert words.figure(value) == said


def test_rounding_hides_neither_a_miss_nor_what_is_left() -> None:
    assert (
        words.measured(Bound(what="", measured=60.004, unit="s", at_most=60)) == "60.004\N{NO-BREAK SPACE}s"
    )
    assert (
        words.measured(Bound(what="", measured=59.998, unit="s", at_most=60)) == "59.998\N{NO-BREAK SPACE}s"
    )
    assert words.measured(Bound(what="", measured=99.98, unit="%", at_least=90)) == "99.98\N{NO-BREAK SPACE}%"
    assert words.measured(Bound(what="", measured=60, unit="s", at_most=60)) == "60\N{NO-BREAK SPACE}s"


def test_missed_and_tight_bounds_come_first() -> None:
    def bound(what: str, measured: float, source: Source = Source.SPECIFICATION) -> Bound:
        return Bound(what=what, measured=measured, unit="s", at_most=10, source=source)

    bounds = [bound("a", 1), bound("b", 9), bound("c", 11), bound("d", 5), bound("e", 20, Source.GOAL)]
    case = one("x").model_copy(update={"bounds": bounds})
    assert [bound.what for bound in words.main_bounds(case)] == ["c", "b", "d"]


@pytest.mark.parametrize(
    ("measured", "sides", "used"),
    [
        (30, {"at_most": 60}, 0.5), (120, {"at_most": 60}, 2), (1000, {"at_most": 60}, 2),
        (0, {"at_most": 0}, 0),
        (1, {"at_most": 0}, 2), (100, {"at_least": 90}, 0.9), (45, {"at_least": 90}, 2),
        (0, {"at_least": 90}, 2),
        (-3, {"at_most": 10}, 0),
    ],
)  # fmt: skip
def test_how_much_of_a_bound_is_used(measured: float, sides: dict[str, float], used: float) -> None:
    assert words.used(Bound(what="", measured=measured, unit="", **sides)) == pytest.approx(used)


def test_junit_has_the_tests_and_the_specifications_bounds() -> None:
    root = ET.fromstring(junit(failing()).partition("\n")[2])  # noqa: S314 - our own
    assert {suite.get("name", "")[:7] for suite in root} == {"Case 4:", "Case 5:", "Case 6:", "the run"}
    tests = [test for suite in root for test in suite.findall("testcase")]
    failures = [test for test in tests if test.find("failure") is not None]
    assert root.get("tests") == str(len(tests)) == "6"
    assert root.get("failures") == str(len(failures)) == "3"
    assert root.get("errors") == "1"
    assert any(LONG in test.get("name", "") and "bounds" in test.get("classname", "") for test in failures)
    properties = [each.get("name", "") for each in root.iter("property")]
    assert sum(name.startswith("goal bound:") for name in properties) == 1


def test_a_passed_run_has_no_failure_in_junit() -> None:
    root = ET.fromstring(junit(sample()).partition("\n")[2])  # noqa: S314 - our own
    assert (root.get("failures"), root.get("errors"), root.get("skipped")) == ("0", "0", "1")


def test_thinning_keeps_the_peaks() -> None:
    points = [(float(at), 1.0) for at in range(10_000)]
    points[4711] = (4711.0, 900.0)
    points[17] = (17.0, 0.1)
    thinned = axis.thinned(points, 300)
    assert len(thinned) <= 600
    assert {(4711.0, 900.0), (17.0, 0.1)} <= set(thinned)
    assert thinned == sorted(thinned)


@pytest.mark.parametrize("values", [[], [0.0], [-3.0, 5.0], [0.001], [1e9, 1.0], [42.0]])
def test_ticks_enclose_all_values(values: list[float]) -> None:
    ticks = axis.from_zero(values, 6)
    assert ticks[0] <= min([0.0, *values])
    assert ticks[-1] >= max(values, default=0.0)
    assert 2 <= len(ticks) <= 8
    logarithmic = axis.decades(values, 6)
    positive = [value for value in values if value > 0]
    assert len(logarithmic) >= 2
    assert not positive or (logarithmic[0] <= min(positive) and max(positive) <= logarithmic[-1])


def test_labels_are_moved_apart() -> None:
    assert apart([10, 11, 100], 13, 200) == [10, 23, 100]
    assert apart([100, 99], 13, 100) == [100, 87]


def test_names_lose_what_all_have() -> None:
    assert short(["run-1-tenant-01", "run-1-tenant-02"]) == ["01", "02"]
    assert short(["quiet", "held"]) == ["quiet", "held"]
    assert short(["a-b", "a-b"]) == ["a-b", "a-b"]


def test_moments_without_room_are_in_the_words() -> None:
    moments = [Moment(at=10 + n / 100, kind=MomentKind.FOUND, text=f"tenant-{n}") for n in range(20)]
    chart = Chart(title="t", unit="ms", lines=[Line(name="a", points=[(0, 1), (100, 2)])], moments=moments)
    drawn = draw(chart)
    assert len(drawn.moments) == 20
    assert drawn.pictures[0].count('<text class="halo moment found"') == MOMENT_ROWS
    assert "tenant-19" in drawn.pictures[0]
