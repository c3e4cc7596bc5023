"""Options and fixtures of the end-to-end suite."""

import pytest

from e2e.harness.fixtures import *  # noqa: F403 - fixtures are found by name

pytest_plugins = ["e2e.harness.recording"]

DEFAULT_TENANTS = [20]
DEFAULT_ROUNDS = 10


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
        "--rounds",
        type=int,
        default=DEFAULT_ROUNDS,
        metavar="N",
        help="in how many rounds tenants come and go in case 7 (default: %(default)s; nightly: 100)",
    )


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest) -> int:
    """Of churn."""
    return int(request.config.getoption("--rounds"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "tenant_count" in metafunc.fixturenames:
        counts = (
            getattr(metafunc.module, "TENANTS", None)
            or metafunc.config.getoption("--tenants")
            or getattr(metafunc.module, "DEFAULT_TENANTS", DEFAULT_TENANTS)
        )
        metafunc.parametrize("tenant_count", counts, scope="module", ids=lambda count: f"{count}-tenants")
