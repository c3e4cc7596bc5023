"""A pytest plugin: which cluster the tests run on, whether they may, and what is missing there.

A refusal or a missing part ends the session before any test, with pytest's exit code for wrong usage (4).
"""

import pytest

from e2e.harness import preflight
from e2e.harness.cluster import Cluster, NoClusterError
from e2e.harness.target import LOCAL, Target, TargetRefusedError, target_of

NEEDING: frozenset[str] = frozenset({"cluster", "kubectl"})
"""Fixtures of tests that need the cluster."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cluster", "the cluster that is tested")
    group.addoption(
        "--context", default="", metavar="NAME", help="of the kubeconfig; default: that of make up"
    )
    group.addoption(
        "--kubeconfig", default="", metavar="FILE", help="default: what kubectl reads; needs --context too"
    )
    group.addoption(
        "--allow-context",
        action="append",
        default=[],
        metavar="NAME",
        help="a context that may be tested on beside that of make up; may be given more than once",
    )
    group.addoption(
        "--image-registry",
        default="",
        metavar="PREFIX",
        help="where nodes get the suite's images from: PREFIX/tenantquota/...; default: they have them",
    )


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    """The cluster that the options name."""
    return chosen(request.config)


def chosen(config: pytest.Config) -> Target:
    """The same, from the options.

    Raises:
        pytest.UsageError: when they don't allow it.
    """
    try:
        return target_of(
            config.getoption("--context"),
            config.getoption("--kubeconfig"),
            config.getoption("--allow-context"),
            config.getoption("--image-registry"),
        )
    except TargetRefusedError as refused:
        raise pytest.UsageError(str(refused)) from refused


def pytest_configure(config: pytest.Config) -> None:
    chosen(config)


def pytest_collection_finish(session: pytest.Session) -> None:
    """All that is missing, at once. Where others run the tests (xdist), their first one finds it."""
    needing = [item for item in session.items if NEEDING & {*getattr(item, "fixturenames", ())}]
    if not needing or session.config.option.collectonly or hasattr(session.config, "workerinput"):
        return
    target = chosen(session.config)
    try:
        facts = preflight.gather(Cluster(target))
    except NoClusterError as error:
        raise pytest.UsageError(str(error)) from error
    missing = preflight.problems(facts, _tenants(needing), local=target == LOCAL)
    if missing:
        lines = [
            f"context {target.context} lacks what the tests need; nothing was started:",
            *map(str, missing),
        ]
        raise pytest.UsageError("\n".join(lines))


def _tenants(items: list[pytest.Item]) -> int:
    """The most that one of the tests asks for."""
    counts = [getattr(item, "callspec", None) for item in items]
    return max((spec.params.get("tenant_count", 0) for spec in counts if spec is not None), default=0)
