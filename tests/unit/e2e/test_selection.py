"""What runs without options, with variants, and in the long form."""

from pathlib import Path

import pytest

from e2e.harness import selection

pytest_plugins = ["pytester"]

INI = """
[pytest]
asyncio_default_fixture_loop_scope = function
markers =
    variant: of a case
    nightly: of the long form
"""
CASE = "def test_case(): pass\n"
VARIANT = """
import pytest
pytestmark = pytest.mark.variant

@pytest.mark.parametrize("stressor", ["cpu", pytest.param("cache", marks=pytest.mark.nightly)])
def test_variant(stressor): pass
"""


@pytest.fixture(autouse=True)
def _modules(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    pytester.makeini(INI)
    pytester.makeconftest(f"pytest_plugins = [{selection.__name__!r}]")
    pytester.makepyfile(test_case_5_noise=CASE, test_case_5_stressors=VARIANT)


@pytest.mark.parametrize(
    ("options", "passed", "deselected"),
    [
        ([], 1, 2),
        (["--variants"], 2, 1),
        (["--nightly"], 3, 0),
        (["--nightly", "--variants"], 3, 0),
    ],
)
def test_variants_and_the_long_form_are_asked_for(
    pytester: pytest.Pytester, options: list[str], passed: int, deselected: int
) -> None:
    pytester.runpytest_inprocess(*options).assert_outcomes(passed=passed, deselected=deselected)


def test_naming_a_module_of_variants_does_not_ask_for_them(pytester: pytest.Pytester) -> None:
    """`make e2e CASES=5` names all modules of the case."""
    done = pytester.runpytest_inprocess("test_case_5_noise.py", "test_case_5_stressors.py")
    done.assert_outcomes(passed=1, deselected=2)
