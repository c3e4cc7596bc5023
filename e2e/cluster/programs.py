"""Programs built from their Go modules, each kept in a folder named after what it was built from.

A folder appears in one move when its build is complete: one that is there is whole and never built again.
"""

import hashlib
import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.console import Console, StepError, output_of
from e2e.cluster.settings import Versions

KUBERNETES_COMMANDS = (
    "kubelet",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubeadm",
    "kubectl",
)
CNI_PLUGINS = ("ipam/host-local", "main/loopback", "main/ptp", "meta/portmap", "meta/bandwidth")
GO_HINT = "Go 1.26 or newer must be on PATH and reach its module proxy; see `go env GOPROXY`."


@dataclass(frozen=True)
class Program:
    """What is built from one Go module.

    Attributes:
        packages: import paths below `module` of the commands; "" is the module's own root.
        tags: Go build tags.
        ldflags: linker flags on top of those that strip debug information.
        cgo: whether it is compiled with C code; it is linked statically all the same, so that it runs on any
            C library.
        as_dependency: `go install` refuses a module whose go.mod replaces others; such a one is built as a
            dependency of an empty module.
    """

    name: str
    module: str
    version: str
    packages: tuple[str, ...]
    tags: str = ""
    ldflags: str = ""
    cgo: bool = False
    as_dependency: bool = False

    @property
    def key(self) -> str:
        """The name of the folder that holds the result: changes with whatever changes the result."""
        return f"{self.name}-{self.version}-{hashlib.sha256(repr(self).encode()).hexdigest()[:8]}"

    @property
    def import_paths(self) -> tuple[str, ...]:
        """The import path of each command."""
        return tuple(f"{self.module}/{package}".rstrip("/") for package in self.packages)


def kind(versions: Versions) -> Program:
    """The kind command."""
    return Program("kind", "sigs.k8s.io/kind", versions.kind_version, ("",))


def helm(versions: Versions) -> Program:
    """The helm command."""
    major = versions.helm_version.split(".", maxsplit=1)[0]
    module = f"helm.sh/helm/{major}"
    flag = f"-X {module}/internal/version.version={versions.helm_version}"
    return Program("helm", module, versions.helm_version, ("cmd/helm",), ldflags=flag)


def node_programs(versions: Versions) -> tuple[Program, ...]:
    """All that runs in a node, apart from Debian's packages."""
    kubernetes, containerd = versions.kubernetes_version, "github.com/containerd/containerd/v2"
    component = "k8s.io/component-base/version"
    stamp = {
        "gitVersion": kubernetes,
        "gitMajor": kubernetes.removeprefix("v").split(".")[0],
        "gitMinor": kubernetes.split(".")[1],
        "gitTreeState": "clean",
        "gitCommit": "unknown",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    return (
        Program(
            "kubernetes",
            "k8s.io/kubernetes",
            kubernetes,
            tuple(f"cmd/{command}" for command in KUBERNETES_COMMANDS),
            ldflags=" ".join(f"-X {component}.{key}={value}" for key, value in stamp.items()),
            as_dependency=True,
        ),
        Program("etcd", "go.etcd.io/etcd/server/v3", versions.etcd_version, ("",), as_dependency=True),
        Program("coredns", "github.com/coredns/coredns", versions.coredns_version, ("",)),
        Program(
            "containerd",
            containerd,
            versions.containerd_version,
            ("cmd/containerd", "cmd/containerd-shim-runc-v2", "cmd/ctr"),
            tags="no_aufs no_zfs no_btrfs no_devmapper",
            ldflags=f"-X {containerd}/version.Version={versions.containerd_version}",
        ),
        Program(
            "runc",
            "github.com/opencontainers/runc",
            versions.runc_version,
            ("",),
            tags="seccomp netgo osusergo",
            ldflags=f"-X main.version={versions.runc_version.removeprefix('v')}",
            cgo=True,
        ),
        Program(
            "crictl",
            "sigs.k8s.io/cri-tools",
            versions.crictl_version,
            ("cmd/crictl",),
            ldflags=f"-X sigs.k8s.io/cri-tools/pkg/version.Version={versions.crictl_version}",
        ),
        Program(
            "cni-plugins",
            "github.com/containernetworking/plugins",
            versions.cni_plugins_version,
            tuple(f"plugins/{plugin}" for plugin in CNI_PLUGINS),
        ),
    )


def staging_version(version: str) -> str:
    """The version under which Kubernetes publishes its libraries: v1.37.2 gives v0.37.2."""
    return re.sub(r"^v1\.", "v0.", version)


def go_mod(program: Program, work: str, go_version: str) -> str:
    """The go.mod of an empty module that depends on `program`.

    Args:
        work: the program's go.work; empty if it has none.
        go_version: the `go` line, at least that of the program's own go.mod.
    """
    # a library in Kubernetes' own tree is required there as v0.0.0, which only its go.work can resolve
    libraries = re.findall(r"^\s*(?:use\s+)?\./staging/src/(\S+)$", work, re.MULTILINE)
    lines = ["module node", f"go {go_version}", f"require {program.module} {program.version}"]
    lines += [f"replace {library} => {library} {staging_version(program.version)}" for library in libraries]
    return "\n".join(lines) + "\n"


def module_dir(module: str, version: str) -> Path:
    """The folder with a module's source, downloaded if it is not there yet.

    Raises:
        StepError: when it cannot be downloaded.
    """
    try:
        answer = output_of(["go", "mod", "download", "-json", f"{module}@{version}"], timeout=300)
    except StepError as error:
        raise StepError(str(error), hint=GO_HINT) from error
    return Path(json.loads(answer)["Dir"])


def ensure(program: Program, cache: Path, console: Console) -> Path:
    """The folder with the program's commands, built if it is not there yet.

    Raises:
        StepError: when the build fails.
    """
    home = cache / "programs" / program.key
    if home.is_dir():
        return home
    if not shutil.which("go"):
        raise StepError(f"{program.name} must be built, and there is no Go here", hint=GO_HINT)
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".build-") as scratch:
        result = Path(scratch, "bin")
        result.mkdir()
        _build(program, Path(scratch), result, console)
        result.rename(home)
    return home


def _build(program: Program, scratch: Path, result: Path, console: Console) -> None:
    static = " -linkmode external -extldflags -static" if program.cgo else ""
    flags = ["-v", "-trimpath", "-ldflags", f"-s -w {program.ldflags}{static}".strip()]
    if program.tags:
        flags += ["-tags", program.tags]
    env = {"CGO_ENABLED": "1" if program.cgo else "0", "GOBIN": str(result)}
    if program.as_dependency:
        source = module_dir(program.module, program.version)
        own = (source / "go.mod").read_text()
        work = source / "go.work"
        go_version = re.search(r"^go (\S+)$", own, re.MULTILINE)
        if go_version is None:
            raise StepError(f"{source}/go.mod has no go line")
        (scratch / "go.mod").write_text(
            go_mod(program, work.read_text() if work.exists() else "", go_version.group(1))
        )
        output_of(["go", "get", *program.import_paths], timeout=600, cwd=scratch)
        command = ["go", "build", *flags, "-o", f"{result}/", *program.import_paths]
    else:
        command = ["go", "install", *flags, *(f"{path}@{program.version}" for path in program.import_paths)]
    console.run(
        f"building {program.name} {program.version}",
        command,
        step=f"build-{program.name}",
        hint=GO_HINT,
        env=env,
        cwd=scratch,
    )
