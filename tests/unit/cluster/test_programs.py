"""How programs are built from Go modules."""

import dataclasses

from e2e.cluster.programs import Program, go_mod, node_programs, staging_version
from e2e.cluster.settings import VERSIONS_FILE, parse_versions

WORK = """go 1.26.0

use (
\t.
\t./staging/src/k8s.io/api
\t./staging/src/k8s.io/client-go
)
"""


def test_libraries_in_kubernetes_own_tree_are_replaced_by_their_published_versions() -> None:
    program = Program("kubernetes", "k8s.io/kubernetes", "v1.37.2", ("cmd/kubelet",), as_dependency=True)
    assert go_mod(program, WORK, "1.26.0").splitlines() == [
        "module node",
        "go 1.26.0",
        "require k8s.io/kubernetes v1.37.2",
        "replace k8s.io/api => k8s.io/api v0.37.2",
        "replace k8s.io/client-go => k8s.io/client-go v0.37.2",
    ]
    assert staging_version("v1.37.0-rc.1") == "v0.37.0-rc.1"


def test_a_module_without_a_workspace_is_only_required() -> None:
    etcd = Program("etcd", "go.etcd.io/etcd/server/v3", "v3.7.3", ("",), as_dependency=True)
    assert "replace" not in go_mod(etcd, "", "1.26.0")
    assert etcd.import_paths == ("go.etcd.io/etcd/server/v3",)


def test_the_key_changes_with_whatever_changes_the_result() -> None:
    program = Program("runc", "github.com/opencontainers/runc", "v1.5.2", ("",), tags="seccomp", cgo=True)
    changes = (
        {"version": "v1.5.3"},
        {"tags": ""},
        {"ldflags": "-X a=b"},
        {"cgo": False},
        {"packages": ("x",)},
    )
    keys = {dataclasses.replace(program, **change).key for change in changes}
    assert len(keys | {program.key}) == len(changes) + 1
    assert program.key == dataclasses.replace(program).key
    assert program.key.startswith("runc-v1.5.2-")


def test_kubernetes_says_which_version_it_is() -> None:
    versions = dataclasses.replace(parse_versions(VERSIONS_FILE.read_text()), kubernetes_version="v1.40.3")
    kubernetes = node_programs(versions)[0]
    assert "version.gitVersion=v1.40.3 " in kubernetes.ldflags
    assert "version.gitMinor=40 " in kubernetes.ldflags
