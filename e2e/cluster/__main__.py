"""From a bare machine to a running cluster with the operator in it, and back.

    python3 -m e2e.cluster tools    .venv and helm: what checks need
    python3 -m e2e.cluster up       all of it
    python3 -m e2e.cluster down     deletes the cluster, stops the dockerd that `up` started

`up` does only what is not done yet. Settings come from the environment: TENANTQUOTA_CACHE, WORKERS,
TENANTQUOTA_NODE_IMAGE, TENANTQUOTA_BASE_IMAGE, and what docker, kubectl, pip and go read there themselves.
It needs nothing but Python's standard library, since it makes the project's environment.
"""

import argparse
import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from e2e.cluster import deploy, engine, host, images, kind, oci_runtime, packages, tools
from e2e.cluster.console import Console, StepError, output_of, tail
from e2e.cluster.settings import CLUSTER, CONTEXT, SettingError, Settings, read_settings


def make_tools(settings: Settings, console: Console) -> None:
    """What checks need: the Python environment, helm, shellcheck."""
    host.ensure_python(settings, console)
    tools.ensure_helm(settings, console)


def up(settings: Settings, console: Console) -> None:
    """Everything, up to an operator that is ready."""
    make_tools(settings, console)
    tools.ensure_kind(settings, console)
    engine.ensure(settings, console)
    node_image = ensure_node_image(settings, console)
    tools.ensure_kubectl(settings, node_image, console)
    ensure_cluster(settings, node_image, console)
    ensure_operator(settings, console)
    console.say(
        f"The cluster {CLUSTER} is up, with the operator in it (context {CONTEXT}). Next: `make demo` shows what it "
        "does, `kubectl get tenantquotas -A` what it holds; `make down` removes it."
    )


def ensure_node_image(settings: Settings, console: Console) -> str:
    """The reference of the image that nodes run, which the engine then has."""
    versions = settings.versions
    candidates = images.Candidates(
        override=settings.node_image,
        # its systemd refuses the first cgroup version
        published=versions.kindest_node_image if images.host_cgroup_version() == 2 else None,
        built=packages.node_image(versions),
    )
    chosen = images.choose(candidates, images.here, lambda reference: images.pull(reference, console))
    return chosen or packages.build_node_image(settings, console)


def ensure_base_image(settings: Settings, console: Console) -> str:
    """The reference of the image that our own images build on, which the engine then has."""
    candidates = images.Candidates(
        override=settings.base_image,
        published=settings.versions.python_base_image,
        built=packages.python_image(settings.versions),
    )
    chosen = images.choose(candidates, images.here, lambda reference: images.pull(reference, console))
    return chosen or packages.build_python_image(settings, console)


def ensure_cluster(settings: Settings, node_image: str, console: Console) -> None:
    """A cluster that works, with its context in the user's kubeconfig."""
    nodes = kind.nodes()
    if nodes:
        # a kubeconfig from before a hard stop, or none, says nothing about the cluster
        running = all(node.running for node in nodes)
        if running:
            kind.ensure_context()
        reason = kind.verdict(nodes, running and kind.api_answers(), settings.workers)
        if reason is None:
            if nodes[0].image != node_image:
                console.say(
                    f"note: the cluster runs {nodes[0].image}; `make down up` moves it to {node_image}"
                )
            return
        console.say(f"the cluster {CLUSTER} is broken ({reason}): making it anew")
        kind.delete(console)
    own_network = not kind.has_network_plugin(node_image)
    config = kind.configuration(
        settings.workers or 0,
        cgroup_version=images.host_cgroup_version(),
        own_network=own_network,
        restrict_oom_score=oci_runtime.host_lacks_capability(oci_runtime.host_status()),
    )
    kind.create(settings, node_image, config, own_network, console)


def ensure_operator(settings: Settings, console: Console) -> None:
    """Our images on the nodes, and the release on the newest of them."""
    pip = output_of([settings.repository / ".venv/bin/python", "-m", "pip", "config", "list"])
    base_image = ensure_base_image(settings, console)
    arguments = deploy.build_arguments(base_image, deploy.pip_settings(pip), os.environ)
    nodes = kind.nodes()
    built = {}
    for image in (deploy.AGENT, deploy.OPERATOR):
        built[image] = deploy.build(image, arguments, settings, console)
        deploy.load(image, built[image], nodes, console)
    deploy.install_chart(built[deploy.OPERATOR], settings, console)


def down(settings: Settings, console: Console) -> None:
    """Removes what `up` made running, and says what it keeps."""
    if engine.answers() and kind.nodes():
        tools.ensure_kind(settings, console)
        kind.delete(console)
        console.say(f"deleted the cluster {CLUSTER}")
    engine.stop(console)
    console.say(
        f"kept, so that the next `make up` takes a minute: {settings.cache} and .venv; "
        f"to remove these too: rm -rf {settings.cache} {settings.repository / '.venv'}"
    )


COMMANDS = {"tools": make_tools, "up": up, "down": down}


@contextmanager
def alone(settings: Settings, console: Console) -> Iterator[None]:
    """Lets one run at a time change things; a second one waits, and says so."""
    settings.cache.mkdir(parents=True, exist_ok=True)
    with (settings.cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.say("another run of this program is at work: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _stop(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(arguments: list[str]) -> int:
    """Runs one command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python3 -m e2e.cluster",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS)
    command = COMMANDS[parser.parse_args(arguments).command]
    signal.signal(signal.SIGTERM, _stop)  # so that what runs is ended and what is half-made is removed
    try:
        settings = read_settings(os.environ)
        os.environ["PATH"] = f"{settings.tools}{os.pathsep}{os.environ.get('PATH', '')}"
        console = Console(settings.logs)
        with alone(settings, console):
            command(settings, console)
    except SettingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except StepError as error:
        _explain(error)
        return 1
    return 0


def _explain(error: StepError) -> None:
    if error.log is not None:
        print(f"\n--- the end of {error.log}\n{tail(error.log)}\n---", file=sys.stderr)
    print(f"\nerror: {error}", file=sys.stderr)
    if error.hint:
        print(error.hint, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
