"""From a bare machine to a running cluster with the operator in it, and back.

    python3 -m e2e.cluster tools    what checks need: .venv, helm, promtool, shellcheck
    python3 -m e2e.cluster up       all of it
    python3 -m e2e.cluster logs     copies what the cluster's nodes and pods logged to the cache
    python3 -m e2e.cluster down     deletes the cluster, stops the dockerd that `up` started
    python3 -m e2e.cluster sweep    ends what a CI run left running: what carries its TENANTQUOTA_CI_RUN

`up` does only what is not done yet. Settings come from the environment: TENANTQUOTA_CACHE, WORKERS,
TENANTQUOTA_NODE_IMAGE, TENANTQUOTA_BASE_IMAGE, and what docker, kubectl, pip and go read there themselves.
It needs nothing but Python's standard library, since it makes the project's environment.
"""

import argparse
import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

from e2e.cluster import (
    debian,
    deploy,
    engine,
    host,
    images,
    kind,
    nodeimage,
    processes,
    serviceimages,
    stressimage,
    tools,
)
from e2e.cluster.console import Console, StepError, output_of, tail
from e2e.cluster.settings import CLUSTER, CONTEXT, SettingError, Settings, read_settings


def make_tools(settings: Settings, console: Console) -> None:
    """What checks need: the Python environment, helm, promtool, shellcheck."""
    host.ensure_python(settings, console)
    if not shutil.which("shellcheck"):
        host.install_packages(["shellcheck"], "checking shell scripts", console)
    tools.ensure_helm(settings, console)
    tools.ensure_promtool(settings, console)


def up(settings: Settings, console: Console) -> None:
    """Everything, up to an operator that is ready."""
    make_tools(settings, console)
    tools.ensure_kind(settings, console)
    if engine.ensure(settings, console) and kind.nodes():
        console.say(f"a cluster {CLUSTER} is left from an engine that was stopped hard: making it anew")
        kind.delete()
    ensure_cluster(settings, console)
    kind.count_io(kind.nodes(), console)
    ensure_operator(settings, console)
    console.say(f"The cluster {CLUSTER} is up, with the operator in it (context {CONTEXT}).")
    console.say("Next: make demo; kubectl get tenantquotas -A; make down removes it.")


def ensure_cluster(settings: Settings, console: Console) -> None:
    """A cluster that works; one that does is taken as it is, whatever image it runs."""
    candidates = node_candidates(settings)
    nodes = kind.nodes()
    if nodes:
        tools.ensure_kubectl(settings, nodes[0].image, console)
        if kind.usable(nodes, settings, console):
            if not candidates.offer(nodes[0].image):
                console.say(
                    f"note: it runs the former node image {nodes[0].image}; make down up gives it a new one"
                )
            return
    image = obtain(candidates, nodeimage.build, settings, console)
    tools.ensure_kubectl(settings, image, console)
    kind.create(settings, image, console)


def node_candidates(settings: Settings) -> images.Candidates:
    """The ways to a node image for this host."""
    return images.Candidates(
        override=settings.node_image,
        # its systemd refuses the first cgroup version
        published=settings.versions.kindest_node_image if images.host_cgroup_version() == 2 else None,
        built=nodeimage.name(settings.versions),
    )


def base_candidates(settings: Settings) -> images.Candidates:
    """The ways to the image that our own images build on."""
    return images.Candidates(
        override=settings.base_image,
        published=settings.versions.python_base_image,
        built=debian.python_image(settings.versions),
    )


def stress_candidates(settings: Settings) -> images.Candidates:
    """The ways to the image that the one with stress-ng is made from."""
    return images.Candidates(
        override=None,
        published=settings.versions.debian_base_image,
        built=stressimage.name(settings.versions),
    )


def service_candidates(settings: Settings) -> dict[serviceimages.Service, images.Candidates]:
    """The ways to the images that those of the tenants' services build on."""
    published = {
        serviceimages.POSTGRES: settings.versions.postgres_base_image,
        serviceimages.REDIS: settings.versions.redis_base_image,
    }
    return {
        service: images.Candidates(override=None, published=reference, built=service.image(settings.versions))
        for service, reference in published.items()
    }


def obtain(
    candidates: images.Candidates,
    build: Callable[[Settings, Console], str],
    settings: Settings,
    console: Console,
) -> str:
    """The reference of an image that the engine then has."""
    chosen = images.choose(candidates, images.here, lambda reference: images.pull(reference, console))
    return chosen or build(settings, console)


def ensure_operator(settings: Settings, console: Console) -> None:
    """Our images on the nodes, and the release on the newest of them."""
    pip = output_of([settings.repository / ".venv/bin/python", "-m", "pip", "config", "list"])
    python = obtain(base_candidates(settings), debian.build_python_image, settings, console)
    packages = obtain(stress_candidates(settings), stressimage.build, settings, console)
    services = {
        service: obtain(candidates, service.build, settings, console)
        for service, candidates in service_candidates(settings).items()
    }
    bases = {
        deploy.AGENT: python,
        deploy.TENANT: python,
        deploy.POSTGRES: services[serviceimages.POSTGRES],
        deploy.REDIS: services[serviceimages.REDIS],
        deploy.STRESS: packages,
        deploy.OPERATOR: python,
    }
    nodes = kind.nodes()
    built = {}
    for image, base in bases.items():
        arguments = deploy.build_arguments(base, deploy.pip_settings(pip), os.environ)
        built[image] = deploy.build(image, arguments, settings, console)
        deploy.load(image, built[image], nodes, console)
    deploy.install_chart(built[deploy.OPERATOR], settings, console)


def logs(settings: Settings, console: Console) -> None:
    """Keeps what the cluster's nodes and pods logged, for whoever wants to know why a test failed."""
    if engine.answers() and kind.nodes():
        console.say(f"what the cluster logged is in {kind.export_logs(settings)}")


def down(settings: Settings, console: Console) -> None:
    """Removes what `up` made running, and says what it keeps."""
    if engine.answers() and kind.nodes():
        tools.ensure_kind(settings, console)
        kind.delete()
        console.say(f"deleted the cluster {CLUSTER}")
    if not settings.keep_engine:
        engine.stop(console)
    console.say(f"kept for the next time: what was built, in {settings.cache}, and .venv")
    everything = [settings.cache, settings.repository / ".venv", *tools.links_for_all(settings)]
    console.say(f"to remove that too: rm -rf {' '.join(map(str, everything))}")


def sweep(_settings: Settings, console: Console) -> None:
    """Ends the processes that a CI run has started and not ended, and says which."""
    mark = os.environ.get(CI_MARK)
    if not mark:
        raise StepError(f"{CI_MARK} is not set, so it can't be told what to end")
    for pid in processes.carrying(CI_MARK, mark):
        console.say(f"left running, ended now: {pid} {processes.command_line(pid)[:120]}")
        processes.end(pid, patience=10)


# those that change what others may be making wait for each other
CHANGING = {"tools": make_tools, "up": up, "down": down}
LOOKING = {"logs": logs, "sweep": sweep}
COMMANDS = {**CHANGING, **LOOKING}
CI_MARK = "TENANTQUOTA_CI_RUN"


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
    parser.add_argument("--keep-engine", action="store_true", help="down: leave dockerd running")
    given = parser.parse_args(arguments)
    command = COMMANDS[given.command]
    signal.signal(signal.SIGTERM, _stop)  # so that what runs is ended and what is half-made is removed
    try:
        settings = read_settings(os.environ, keep_engine=given.keep_engine)
        os.environ["PATH"] = f"{settings.tools}{os.pathsep}{os.environ.get('PATH', '')}"
        console = Console(settings.logs)
        with alone(settings, console) if given.command in CHANGING else nullcontext():
            command(settings, console)
    except SettingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except StepError as error:
        _explain(error)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _explain(error: StepError) -> None:
    if error.log is not None:
        print(f"\n--- the end of {error.log}\n{tail(error.log)}\n---", file=sys.stderr)
    print(f"\nerror: {error}", file=sys.stderr)
    if error.hint:
        print(error.hint, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
