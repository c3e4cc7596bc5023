"""When a cluster is kept, how it is made, and how its pods reach each other."""

import io
import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.cluster import network
from e2e.cluster.console import Console, StepError
from e2e.cluster.kind import Node, answers, configuration, same_cluster, verdict


def node(name: str = "control-plane", running: bool = True) -> Node:
    return Node(name, running, "image")


def test_a_cluster_that_works_is_kept() -> None:
    assert verdict([node()], True, None) is None
    assert verdict([node(), node("worker")], True, 1) is None


@pytest.mark.parametrize(
    ("nodes", "answering", "reason"),
    [
        ([node(running=False)], False, "stopped: control-plane"),
        ([node(), node("worker", running=False)], True, "stopped: worker"),
        ([node()], False, "does not answer"),
    ],
)
def test_a_broken_cluster_is_made_anew_whatever_workers_are_asked_for(
    nodes: list[Node], answering: bool, reason: str
) -> None:
    for workers in (None, 0, 5):
        assert reason in (verdict(nodes, answering, workers) or "")


def test_a_cluster_of_another_size_is_not_deleted_unasked() -> None:
    with pytest.raises(StepError, match="runs with WORKERS=0, not 2") as caught:
        verdict([node()], True, 2)
    assert "make down" in caught.value.hint


def test_configuration_of_a_common_host_changes_no_more_than_it_must() -> None:
    written = json.loads(configuration(0, cgroup_version=2, own_network=False, restrict_oom_score=False))
    assert written["nodes"] == [{"role": "control-plane"}]
    assert written["networking"]["disableDefaultCNI"] is False
    (containerd,) = written["containerdConfigPatches"]
    assert tomllib.loads(containerd)["plugins"] == {
        "io.containerd.cri.v1.runtime": {"stats_collect_period": "1m"}
    }
    assert [json.loads(patch) for patch in written["kubeadmConfigPatches"]] == [
        {"kind": "KubeletConfiguration", "maxPods": 250}
    ]


def test_configuration_of_an_odd_host() -> None:
    written = json.loads(configuration(2, cgroup_version=1, own_network=True, restrict_oom_score=True))
    assert [each["role"] for each in written["nodes"]] == ["control-plane", "worker", "worker"]
    assert written["networking"]["disableDefaultCNI"] is True
    assert "restrict_oom_score_adj = true" in "".join(written["containerdConfigPatches"])
    assert json.loads(written["kubeadmConfigPatches"][0])["failCgroupV1"] is False


OURS = "clusters:\n- cluster:\n    certificate-authority-data: QUJD\n    server: https://127.0.0.1:36061\n"


@pytest.mark.parametrize(
    ("theirs", "same"),
    [
        (OURS + "users: []\n", True),
        (OURS.replace("36061", "36062"), False),
        (OURS.replace("QUJD", "REVG"), False),
        ("", False),
    ],
)
def test_a_context_of_a_former_cluster_is_told_from_this_ones(theirs: str, same: bool) -> None:
    assert same_cluster(OURS, theirs) is same
    assert not same_cluster("", theirs)


NODE_LIST = json.dumps(
    {
        "items": [
            {
                "metadata": {"name": name},
                "spec": {"podCIDR": f"10.244.{number}.0/24"},
                "status": {
                    "addresses": [
                        {"type": "Hostname", "address": name},
                        {"type": "InternalIP", "address": f"172.18.0.{number + 2}"},
                    ]
                },
            }
            for number, name in enumerate(["control-plane", "worker", "worker2"])
        ]
    }
)


def test_every_node_gets_a_route_to_the_pods_of_every_other() -> None:
    routes = network.routes(network.parse_nodes(NODE_LIST))
    assert ("worker", ["ip", "route", "replace", "10.244.0.0/24", "via", "172.18.0.2"]) in routes
    assert ("control-plane", ["ip", "route", "replace", "10.244.2.0/24", "via", "172.18.0.4"]) in routes
    assert len(routes) == 6
    assert network.routes(network.parse_nodes(NODE_LIST)[:1]) == []


def test_plugin_configuration_gives_addresses_of_the_nodes_subnet() -> None:
    written = json.loads(network.plugin_configuration("10.244.1.0/24"))
    assert [plugin["type"] for plugin in written["plugins"]] == ["ptp", "portmap", "bandwidth"]
    assert written["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.244.1.0/24"}]]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts scripts in place of kind, which knows the cluster, and of kubectl."""

    def place(kubectl: str) -> None:
        for name, script in (("kind", f"echo '{OURS}'"), ("kubectl", kubectl)):
            command = tmp_path / name
            command.write_text(f"#!/bin/sh\n{script}\n")
            command.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")

    return place


def test_an_api_server_that_is_slow_to_answer_is_waited_for(
    commands: Callable[[str], None], tmp_path: Path
) -> None:
    out = io.StringIO()
    calls = tmp_path / "calls"
    commands(f'case "$*" in *readyz*) echo >> {calls}; test $(wc -l < {calls}) -gt 1;; esac')
    assert answers(Console(tmp_path, out=out), patience=60)
    assert len(out.getvalue().splitlines()) == 1
    assert "waiting 1 min 00 s at most for the cluster to answer" in out.getvalue()


@pytest.mark.parametrize("broken", ["*readyz*", "*condition=Ready*"])
def test_a_cluster_that_never_answers_or_never_gets_ready_does_not_work(
    commands: Callable[[str], None], tmp_path: Path, broken: str
) -> None:
    commands(f'case "$*" in {broken}) exit 1;; esac')
    assert not answers(Console(tmp_path, out=io.StringIO()), patience=0)
