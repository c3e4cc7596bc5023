"""Which cluster the suite touches, and from where its images come."""

import subprocess
import sys

import pytest

from e2e.cluster.settings import CONTEXT, REPOSITORY
from e2e.harness.nodes import local_nodes
from e2e.harness.target import LOCAL, Target, TargetRefusedError, target_of, with_registry


def test_nothing_given_is_the_cluster_of_make_up() -> None:
    assert target_of("", "", ()) == LOCAL
    assert LOCAL.kubectl == ("kubectl", f"--context={CONTEXT}")


def test_a_context_that_the_user_allows() -> None:
    target = target_of("staging", "/home/me/staging", ["staging"], "registry.example/ci/")
    assert target == Target("staging", "/home/me/staging", "registry.example/ci")
    assert target.kubectl == ("kubectl", "--kubeconfig=/home/me/staging", "--context=staging")


@pytest.mark.parametrize(
    ("context", "kubeconfig", "allowed", "remedy"),
    [
        ("production", "", [], "--allow-context production"),
        ("production", "", ["staging"], "--allow-context production"),
        ("production", "", ["prod", "production-eu", "*"], "--allow-context production"),
        # a file that somebody else wrote may call any cluster so
        (CONTEXT, "/home/me/config", [], f"--allow-context {CONTEXT}"),
        ("", "/home/me/config", [CONTEXT], "--context NAME"),
    ],
)
def test_everything_else_is_refused(context: str, kubeconfig: str, allowed: list[str], remedy: str) -> None:
    with pytest.raises(TargetRefusedError, match=remedy):
        target_of(context, kubeconfig, allowed)


def test_what_is_allowed_is_not_therefore_chosen() -> None:
    assert target_of("", "", ["production"]) == LOCAL


def test_nodes_of_clusters_that_kind_did_not_make_are_elsewhere() -> None:
    assert local_nodes("staging") == set()


def test_images_come_from_the_registry() -> None:
    container = {"name": "image", "image": "tenantquota/agent:dev", "env": [{"name": "image", "value": "x"}]}
    pod = {"kind": "Pod", "spec": {"containers": [container], "initContainers": [container]}}
    moved = container | {"image": "registry.example/ci/tenantquota/agent:dev"}

    assert with_registry(pod, "registry.example/ci")["spec"] == {
        "containers": [moved],
        "initContainers": [moved],
    }
    deployment = with_registry({"spec": {"template": pod}}, "registry.example/ci")
    assert deployment["spec"]["template"]["spec"]["containers"] == [moved]
    assert with_registry(pod, "") is pod


def test_what_only_has_a_field_of_that_name_stays() -> None:
    quota = {"spec": {"container": {"image": "x"}, "image": "y"}}
    assert with_registry(quota, "registry.example") == quota


@pytest.mark.parametrize("suite", ["e2e", "tests/integration"])
def test_a_refusal_is_wrong_usage_and_comes_first(suite: str) -> None:
    command = [sys.executable, "-m", "pytest", suite, "--collect-only", "--context=production"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "context production isn't allowed" in done.stderr
    assert "collected" not in done.stdout
