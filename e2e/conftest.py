"""Options and fixtures of the end-to-end suite."""

import pytest

from e2e.harness.fixtures import *  # noqa: F403 - fixtures are found by name

pytest_plugins = ["e2e.harness.recording", "e2e.harness.reporting", "e2e.harness.progress"]

DEFAULT_TENANTS = [20]
NIGHTLY_TENANTS = [10, 50]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--tenants",
        type=int,
        action="append",
        metavar="N",
        help=f"run each case with N tenants; may be given more than once (default: {DEFAULT_TENANTS}, or what"
        " the case has in DEFAULT_TENANTS; a case that can't have another number has it in TENANTS)",
    )
    parser.addoption(
        "--nightly",
        action="store_true",
        help=f"the long form: {NIGHTLY_TENANTS} tenants unless --tenants says otherwise, 15 minutes of"
        " sustained load, 100 rounds of churn",
    )


@pytest.fixture(scope="session")
def nightly(request: pytest.FixtureRequest) -> bool:
    """Whether it is the long form; what a case has longer there is its own."""
    return bool(request.config.getoption("--nightly"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "tenant_count" in metafunc.fixturenames:
        nightly = metafunc.config.getoption("--nightly")
        counts = (
            getattr(metafunc.module, "TENANTS", None)
            or metafunc.config.getoption("--tenants")
            or (nightly and getattr(metafunc.module, "NIGHTLY_TENANTS", NIGHTLY_TENANTS))
            or getattr(metafunc.module, "DEFAULT_TENANTS", DEFAULT_TENANTS)
        )
        metafunc.parametrize("tenant_count", counts, scope="module", ids=lambda count: f"{count}-tenants")
