"""The node image made from Go modules and Debian packages, where kind's own cannot be pulled.

It holds what `kindest/node` holds, by the scripts and units of kind's own sources, but for kind's network
plugin and storage provisioner, which are images on a registry: `network` stands in for the first.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import archive, debian, programs
from e2e.cluster.console import Console, output_of, succeeds
from e2e.cluster.host import install_packages
from e2e.cluster.settings import Settings, Versions

NODE_PACKAGES = (
    *("systemd", "systemd-sysv", "mount", "util-linux", "kmod", "e2fsprogs", "procps", "bash"),
    *("iproute2", "iptables", "nftables", "conntrack", "ethtool"),
    *("libseccomp2", "ca-certificates", "curl", "jq", "pigz"),
)
PROXY_PACKAGES = ("iptables",)
COMPILER_PACKAGES = ("gcc", "libc6-dev", "libseccomp-dev", "pkg-config")

ENTRYPOINT = '["/usr/local/bin/entrypoint", "/sbin/init"]'
BUILD_CONTAINER = "tenantquota-kind-node-build"


@dataclass(frozen=True)
class Component:
    """A control-plane image: one program, on the file systems that it needs.

    Attributes:
        name: the last part of the image's name.
        below: layers under the program's.
    """

    name: str
    program: Path
    path: str
    below: tuple[Path, ...] = ()


def name(versions: Versions) -> str:
    """The name of the node image made here; it changes with whatever the image is made from."""
    built = [program.key for program in (*programs.node_programs(versions), programs.kind(versions))]
    scripts = [debian.recipe(script) for script in ("node.sh", "kube-proxy.sh", "preload.sh")]
    packages = (versions.debian_suite, debian.BASE_PACKAGES, NODE_PACKAGES, PROXY_PACKAGES)
    made_from = debian.key(built, versions.pause_version, packages, scripts)
    return f"tenantquota/kind-node:{versions.kubernetes_version}-{made_from}"


def build(settings: Settings, console: Console) -> str:
    """Makes the node image and returns its name; programs that were built before come from the cache.

    Raises:
        StepError: when a step fails.
    """
    versions = settings.versions
    image = name(versions)
    console.say(f"making {image}; with nothing in the cache this takes about 15 minutes on two cores")
    install_packages(COMPILER_PACKAGES, "compiling runc", console)
    home = {
        program.name: programs.ensure(program, settings.cache, console)
        for program in programs.node_programs(versions)
    }
    with debian.scratch_folder(settings) as scratch:
        base = f"{image}-without-images"
        _make_base(base, home, scratch, versions, console)
        images = scratch / "images"
        images.mkdir()
        references = _wanted_references(home, versions)
        for component in _components(home, scratch, versions, console):
            layer = scratch / f"{component.name}.layer"
            archive.write_layer(component.program, component.path, layer)
            target = images / f"{component.name}.tar"
            archive.write_image(
                target, references[component.name], [*component.below, layer], [component.path]
            )
        _preload(base, image, images, console)
    output_of(["docker", "image", "rm", base])
    return image


def references_by_name(references: Sequence[str]) -> dict[str, str]:
    """Image references by the last part of the name: coredns for registry.k8s.io/coredns/coredns:v1.15.0."""
    return {reference.rpartition("/")[2].partition(":")[0]: reference for reference in references}


def _wanted_references(home: Mapping[str, Path], versions: Versions) -> dict[str, str]:
    kubeadm = home["kubernetes"] / "kubeadm"
    listing = [str(kubeadm), "config", "images", "list", "--kubernetes-version", versions.kubernetes_version]
    wanted = references_by_name(output_of(listing).splitlines())
    # not kubeadm's but the one in the containerd configuration of kind's sources
    wanted["pause"] = f"registry.k8s.io/pause:{versions.pause_version}"
    return wanted


def _make_base(
    base: str, home: Mapping[str, Path], scratch: Path, versions: Versions, console: Console
) -> None:
    """Makes the node image without the control plane's images in its containerd."""
    overlay, rootfs = scratch / "overlay", scratch / "rootfs.tar"
    _lay_out(overlay, home, versions)
    hooks = [
        f"sync-in {overlay} /",
        f"upload {debian.RECIPES / 'node.sh'} /setup.sh",
        'chroot "$1" sh /setup.sh',
        'rm "$1/setup.sh"',
    ]
    title = "making the node's file system from Debian packages"
    debian.make_rootfs(title, rootfs, NODE_PACKAGES, hooks, versions.debian_suite, console)
    debian.import_rootfs(rootfs, base, ["ENV container=docker"], console)


def _lay_out(overlay: Path, home: Mapping[str, Path], versions: Versions) -> None:
    """Lays out what the node has on top of Debian's packages, as it will be in its file system."""
    kind = programs.module_dir("sigs.k8s.io/kind", versions.kind_version)
    shutil.copytree(kind / "images/base/files", overlay, ignore=shutil.ignore_patterns("LICENSES"))
    for path in (overlay, *overlay.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)  # Go keeps modules read-only
    (overlay / "kind/version").write_text(f"{versions.kubernetes_version}\n")
    kubernetes = home["kubernetes"]
    commands = {
        "usr/local/bin": [*home["containerd"].iterdir(), *home["crictl"].iterdir()],
        "usr/local/sbin": [*home["runc"].iterdir()],
        "usr/bin": [kubernetes / "kubeadm", kubernetes / "kubelet", kubernetes / "kubectl"],
        "opt/cni/bin": [*home["cni-plugins"].iterdir()],
    }
    for folder, files in commands.items():
        (overlay / folder).mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(file, overlay / folder)


def _components(
    home: Mapping[str, Path], scratch: Path, versions: Versions, console: Console
) -> list[Component]:
    kubernetes = home["kubernetes"]
    pause, proxy = scratch / "pause", scratch / "kube-proxy.tar"
    source = (
        programs.module_dir("k8s.io/kubernetes", versions.kubernetes_version) / "build/pause/linux/pause.c"
    )
    compiler = [
        "gcc",
        "-Os",
        "-static",
        f"-DVERSION=v{versions.pause_version}",
        "-o",
        str(pause),
        str(source),
    ]
    console.run("compiling pause", compiler, step="image")
    title = "making kube-proxy's file system from Debian packages"
    hooks = [f'sh {debian.RECIPES / "kube-proxy.sh"} "$1"']
    debian.extract_rootfs(title, proxy, PROXY_PACKAGES, hooks, versions.debian_suite, console)
    return [
        Component("etcd", home["etcd"] / "server", "/usr/local/bin/etcd"),
        Component("coredns", home["coredns"] / "coredns", "/coredns"),
        Component("pause", pause, "/pause"),
        Component("kube-proxy", kubernetes / "kube-proxy", "/usr/local/bin/kube-proxy", below=(proxy,)),
        *(
            Component(command, kubernetes / command, f"/usr/local/bin/{command}")
            for command in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
        ),
    ]


def _preload(base: str, image: str, images: Path, console: Console) -> None:
    """Makes `image` from `base` by importing the archives in `images` into its containerd."""
    shutil.copy(debian.RECIPES / "preload.sh", images)
    # systemd ends on that signal; SIGTERM makes it start anew
    options = ["--name", BUILD_CONTAINER, "--stop-signal", "SIGRTMIN+3", "--entrypoint", "sh"]
    succeeds(["docker", "rm", "--force", BUILD_CONTAINER])  # of a run that was killed
    try:
        output_of(["docker", "create", *options, base, "/images/preload.sh"])
        output_of(["docker", "cp", images, f"{BUILD_CONTAINER}:/images"], timeout=300)
        title = "putting the control plane's images into the node image"
        console.run(title, ["docker", "start", "--attach", BUILD_CONTAINER], step="image")
        change = ["--change", f"ENTRYPOINT {ENTRYPOINT}"]
        output_of(["docker", "commit", *change, BUILD_CONTAINER, image], timeout=300)
    finally:
        succeeds(["docker", "rm", "--force", BUILD_CONTAINER])
