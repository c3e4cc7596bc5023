"""Options and fixtures of the end-to-end suite."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from e2e.harness.beside import Beside
from e2e.harness.cluster import Cluster, Container
from e2e.harness.fixtures import *  # noqa: F403 - fixtures are found by name
from e2e.harness.leaking import Leaking, leaking
from e2e.harness.node_agent import NodeAgent
from e2e.harness.services import Services
from e2e.harness.sessions import Sessions

pytest_plugins = [
    "e2e.harness.selection",
    "e2e.harness.recording",
    "e2e.harness.reporting",
    "e2e.harness.progress",
]

DEFAULT_TENANTS = [10]
NIGHTLY_TENANTS = [10, 50]
LEAKS_MODULE = "test_case_3_leaks.py"
ROUNDS, NIGHTLY_ROUNDS = 10, 100


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--tenants",
        type=int,
        action="append",
        metavar="N",
        help=f"run each case with N tenants; may be given more than once (default: {DEFAULT_TENANTS}, with"
        f" --nightly {NIGHTLY_TENANTS}, or what the case has in DEFAULT_TENANTS or NIGHTLY_TENANTS; a case"
        " that can't have another number has it in TENANTS)",
    )
    parser.addoption(
        "--rounds",
        type=int,
        metavar="N",
        help=f"in how many rounds tenants come and go in the variant of case 7 (default: {ROUNDS}, with"
        f" --nightly {NIGHTLY_ROUNDS})",
    )


@pytest.fixture(scope="session")
def nightly(request: pytest.FixtureRequest) -> bool:
    """Whether it is the long form; what a case has longer there is its own."""
    return bool(request.config.getoption("--nightly"))


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest, nightly: bool) -> int:
    """Of churn."""
    given: int | None = request.config.getoption("--rounds")
    return given or (NIGHTLY_ROUNDS if nightly else ROUNDS)


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


@pytest.fixture(scope="session")
def leaks_by_count(
    cluster: Cluster,
    services: Services,
    sessions: Sessions,
    controller: Container,
    node_agents: dict[str, NodeAgent],
) -> Iterator[Callable[[int], Beside[Leaking]]]:
    """The leaks of case 3 among so many tenants, not begun."""
    with ExitStack() as stack:

        @cache
        def of(count: int) -> Beside[Leaking]:
            return stack.enter_context(
                Beside(lambda: leaking(cluster, services, sessions, node_agents, count))
            )

        yield of


@pytest.fixture(scope="module")
def leaks(
    request: pytest.FixtureRequest,
    leaks_by_count: Callable[[int], Beside[Leaking]],
    tenant_count: int,
) -> Iterator[Beside[Leaking]]:
    """The leaks of case 3, which take three minutes and next to no CPU. A module that asks for them has them
    run beside its own tests, if they are to run at all; they are gone after case 3."""
    made = leaks_by_count(tenant_count)
    if any(item.path.name == LEAKS_MODULE for item in request.session.items):
        made.begin()
    yield made
    if request.path.name == LEAKS_MODULE:
        made.close()
