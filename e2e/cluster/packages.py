"""Images made from Debian packages and Go modules, for machines where no container registry answers."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster import archive, programs
from e2e.cluster.console import Console, output_of, succeeds
from e2e.cluster.host import install_packages
from e2e.cluster.settings import Settings, Versions

RECIPES = Path(__file__).with_name("recipes")
TRUST_STORE = Path("/etc/ssl/certs/ca-certificates.crt")

BUILD_PACKAGES = ("mmdebstrap", "gcc", "libc6-dev", "libseccomp-dev", "pkg-config", "ca-certificates")
NODE_PACKAGES = (
    "systemd systemd-sysv conntrack iptables nftables iproute2 ethtool util-linux mount kmod libseccomp2 pigz "
    "e2fsprogs bash ca-certificates curl jq procps"
).split()
PROXY_PACKAGES = ("iptables",)
PYTHON_PACKAGES = ("python3", "python3-pip", "python3-venv", "ca-certificates")

SLIM = [f"path-exclude=/usr/share/{folder}/*" for folder in ("doc", "man", "info", "locale")]
NODE_ENTRYPOINT = '["/usr/local/bin/entrypoint", "/sbin/init"]'
APT_HINT = "Debian's packages must be in reach: try `apt-get update`."


def _key(*inputs: object) -> str:
    return hashlib.sha256(repr(inputs).encode()).hexdigest()[:8]


def _recipe_text(*names: str) -> list[str]:
    return [(RECIPES / name).read_text() for name in names]


def node_image(versions: Versions) -> str:
    """The name of the node image made here; it changes with whatever the image is made from."""
    built = [program.key for program in (*programs.node_programs(versions), programs.kind(versions))]
    scripts = _recipe_text("node.sh", "kube-proxy.sh", "preload.sh")
    key = _key(built, versions.debian_suite, versions.pause_version, NODE_PACKAGES, PROXY_PACKAGES, scripts)
    return f"tenantquota/kind-node:{versions.kubernetes_version}-{key}"


def python_image(versions: Versions) -> str:
    """The name of the Python image made here; it changes with its packages and the host's trust store."""
    trust = TRUST_STORE.read_text() if TRUST_STORE.exists() else ""
    key = _key(versions.debian_suite, PYTHON_PACKAGES, _recipe_text("python.sh"), trust)
    return f"tenantquota/python:3.11-{key}"


def build_python_image(settings: Settings, console: Console) -> str:
    """Makes the image that stands in for `python:3.11-slim`, with the host's trust store, and returns its name.

    Raises:
        StepError: when a step fails.
    """
    name = python_image(settings.versions)
    install_packages(BUILD_PACKAGES, "images made from packages", console)
    with _scratch(settings) as scratch:
        rootfs = scratch / "rootfs.tar"
        _debian(
            "a Python base image",
            rootfs,
            PYTHON_PACKAGES,
            settings,
            console,
            hooks=[
                f"upload {TRUST_STORE} {TRUST_STORE}",
                f"upload {RECIPES / 'python.sh'} /setup.sh",
                'chroot "$1" sh /setup.sh',
                'rm "$1/setup.sh"',
            ],
        )
        changes = [
            f"ENV {archive.SEARCH_PATH}",
            f"ENV PIP_CERT={TRUST_STORE}",
            f"ENV SSL_CERT_FILE={TRUST_STORE}",
            'CMD ["python3"]',
        ]
        _import(rootfs, name, changes, console)
    return name


def build_node_image(settings: Settings, console: Console) -> str:
    """Makes the node image and returns its name; the parts that were built before are taken from the cache.

    Raises:
        StepError: when a step fails.
    """
    versions, name = settings.versions, node_image(settings.versions)
    console.say(f"making {name} from packages; the first time on two cores this takes about 15 minutes")
    install_packages(BUILD_PACKAGES, "images made from packages", console)
    home = {
        program.name: programs.ensure(program, settings.cache, console)
        for program in programs.node_programs(versions)
    }
    with _scratch(settings) as scratch:
        overlay = scratch / "overlay"
        _lay_out_node(overlay, home, versions)
        rootfs = scratch / "rootfs.tar"
        _debian(
            "the node's file system",
            rootfs,
            NODE_PACKAGES,
            settings,
            console,
            hooks=[
                f"sync-in {overlay} /",
                f"upload {RECIPES / 'node.sh'} /setup.sh",
                'chroot "$1" sh /setup.sh',
                'rm "$1/setup.sh"',
            ],
        )
        base = f"{name}-without-images"
        _import(rootfs, base, ["ENV container=docker"], console)
        images = scratch / "images"
        _write_control_plane(images, home, scratch, settings, console)
        _preload(base, name, images, console)
    output_of(["docker", "image", "rm", base])
    return name


@contextmanager
def _scratch(settings: Settings) -> Iterator[Path]:
    settings.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.cache, prefix="scratch-") as name:
        yield Path(name)


def _debian(
    what: str,
    rootfs: Path,
    packages: Sequence[str],
    settings: Settings,
    console: Console,
    *,
    hooks: Sequence[str],
    variant: str = "minbase",
) -> None:
    command = ["mmdebstrap", f"--variant={variant}", f"--include={','.join(packages)}"]
    command += [f"--dpkgopt={line}" for line in SLIM]
    command += ['--aptopt=Acquire::Retries "5"']
    # packages that are only extracted are never configured, so there is no later moment for hooks
    moment = "extract" if variant == "extract" else "customize"
    command += [f"--{moment}-hook={hook}" for hook in hooks]
    console.run(
        f"making {what} from Debian packages",
        [*command, settings.versions.debian_suite, rootfs],
        step="debian",
        hint=APT_HINT,
    )


def _import(rootfs: Path, name: str, changes: Sequence[str], console: Console) -> None:
    options = [word for change in changes for word in ("--change", change)]
    console.run(f"importing {name}", ["docker", "import", *options, rootfs, name], step="image", quiet=True)


def _lay_out_node(overlay: Path, home: dict[str, Path], versions: Versions) -> None:
    """Lays out what the node has on top of Debian's packages, as it will be in its file system."""
    kind = programs.module_dir("sigs.k8s.io/kind", versions.kind_version)
    shutil.copytree(kind / "images/base/files", overlay, ignore=shutil.ignore_patterns("LICENSES"))
    for path in (overlay, *overlay.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)  # Go keeps modules read-only
    (overlay / "kind/version").write_text(f"{versions.kubernetes_version}\n")
    placed = {
        "usr/local/bin": [
            home["containerd"] / name for name in ("containerd", "containerd-shim-runc-v2", "ctr")
        ]
        + [home["crictl"] / "crictl"],
        "usr/local/sbin": [home["runc"] / "runc"],
        "usr/bin": [home["kubernetes"] / name for name in ("kubeadm", "kubelet", "kubectl")],
        "opt/cni/bin": sorted(home["cni-plugins"].iterdir()),
    }
    for folder, commands in placed.items():
        (overlay / folder).mkdir(parents=True, exist_ok=True)
        for command in commands:
            shutil.copy(command, overlay / folder)


def _write_control_plane(
    images: Path, home: dict[str, Path], scratch: Path, settings: Settings, console: Console
) -> None:
    """Writes the images that kubeadm will ask for into `images`, one archive each."""
    images.mkdir()
    kubernetes = home["kubernetes"]
    references = output_of(
        [
            kubernetes / "kubeadm",
            "config",
            "images",
            "list",
            "--kubernetes-version",
            settings.versions.kubernetes_version,
        ]
    ).splitlines()
    pause = _compile_pause(scratch, settings, console)
    proxy_base = scratch / "kube-proxy.tar"
    _debian(
        "kube-proxy's file system",
        proxy_base,
        PROXY_PACKAGES,
        settings,
        console,
        hooks=[f'sh {RECIPES / "kube-proxy.sh"} "$1"'],
        variant="extract",
    )
    contents: dict[str, tuple[Path, str, list[Path]]] = {
        "etcd": (home["etcd"] / "server", "/usr/local/bin/etcd", []),
        "coredns": (home["coredns"] / "coredns", "/coredns", []),
        "pause": (pause, "/pause", []),
        "kube-proxy": (kubernetes / "kube-proxy", "/usr/local/bin/kube-proxy", [proxy_base]),
    }
    for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        contents[name] = (kubernetes / name, f"/usr/local/bin/{name}", [])
    wanted = {image_name(reference): reference for reference in references}
    wanted["pause"] = (
        f"registry.k8s.io/pause:{settings.versions.pause_version}"  # what containerd starts pods with
    )
    for name, (program, path, below) in contents.items():
        layer = scratch / f"{name}.layer"
        archive.write_layer(program, path, layer)
        archive.write_image(images / f"{name}.tar", wanted[name], [*below, layer], [path])


def image_name(reference: str) -> str:
    """The last part of an image's name: registry.k8s.io/coredns/coredns:v1.15.0 gives coredns."""
    return reference.rpartition("/")[2].partition(":")[0]


def _compile_pause(scratch: Path, settings: Settings, console: Console) -> Path:
    source = programs.module_dir("k8s.io/kubernetes", settings.versions.kubernetes_version)
    result = scratch / "pause"
    console.run(
        "compiling pause",
        ["gcc", "-Os", "-static", f"-DVERSION=v{settings.versions.pause_version}", "-o", result]
        + [str(source / "build/pause/linux/pause.c")],
        step="image",
        quiet=True,
    )
    return result


def _preload(base: str, name: str, images: Path, console: Console) -> None:
    """Makes `name` from `base` by importing the archives into its containerd."""
    container = "tenantquota-kind-node-build"
    succeeds(["docker", "rm", "--force", container])
    shutil.copy(RECIPES / "preload.sh", images)
    try:
        # systemd ends on that signal; SIGTERM makes it start anew
        options = ["--name", container, "--stop-signal", "SIGRTMIN+3", "--entrypoint", "sh"]
        output_of(["docker", "create", *options, base, "/images/preload.sh"])
        console.run(
            "copying images", ["docker", "cp", images, f"{container}:/images"], step="image", quiet=True
        )
        console.run(
            "putting the control plane's images into the node image",
            ["docker", "start", "--attach", container],
            step="image",
        )
        change = f"ENTRYPOINT {NODE_ENTRYPOINT}"
        console.run(
            "committing the node image",
            ["docker", "commit", "--change", change, container, name],
            step="image",
        )
    finally:
        succeeds(["docker", "rm", "--force", container])
