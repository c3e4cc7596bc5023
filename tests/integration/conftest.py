"""Tests on a real API server: the cluster that ``make up`` makes, with the chart installed."""

import secrets
from collections.abc import Callable, Iterator

import pytest

from e2e.harness.fixtures import *  # noqa: F403 - fixtures are found by name
from e2e.harness.target import Target
from e2e.harness.wait import wait_until
from tests.integration.kubectl import Kubectl


@pytest.fixture(scope="session")
def kubectl(target: Target) -> Kubectl:
    """As the cluster's administrator; always in the context that is tested, whatever the current one is."""
    kubectl = Kubectl(target)
    policy = kubectl("get", "mutatingadmissionpolicy", "tenantquota-limits")
    if policy.code:
        pytest.fail(
            f"no cluster with TenantQuota in context {target.context}: run 'make up' ({policy.stderr})"
        )
    return kubectl


@pytest.fixture(scope="module")
def new_namespace(kubectl: Kubectl) -> Iterator[Callable[[str], str]]:
    """Makes a namespace ``test-WHAT-RANDOM``, ready for pods; all of them are deleted after the module."""
    made: list[str] = []

    def make(what: str) -> str:
        name = f"test-{what}-{secrets.token_hex(3)}"
        kubectl("create", "namespace", name).ok()
        made.append(name)
        wait_until(
            lambda: kubectl("get", "serviceaccount", "default", f"--namespace={name}").code == 0,
            what=f"the default ServiceAccount of {name}",
            deadline_seconds=30,
        )
        return name

    yield make
    if made:
        kubectl("delete", "namespace", "--wait=false", "--ignore-not-found", *made).ok()
