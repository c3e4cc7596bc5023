"""The Docker engine: one that answers is used and left alone; where none does, dockerd is started.

What is started here is known by its pid file, and `stop` ends only that.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from e2e.cluster import oci_runtime
from e2e.cluster.console import Console, StepError, output_of, succeeds
from e2e.cluster.host import install_packages
from e2e.cluster.processes import end, running_pid
from e2e.cluster.settings import Settings

RUN = Path("/run/tenantquota")
PID_FILE = RUN / "dockerd.pid"
EXEC_ROOT = RUN / "docker"
CONTAINERD_PID_FILE = EXEC_ROOT / "containerd" / "containerd.pid"

START_SECONDS = 60.0
ANSWER_SECONDS = 20.0


def answers() -> bool:
    """Whether a Docker engine answers the docker command."""
    if not shutil.which("docker"):
        return False
    return succeeds(["docker", "version", "--format", "{{.Server.Version}}"], timeout=ANSWER_SECONDS)


def configuration(data: Path, runtime: Path | None) -> dict[str, Any]:
    """The content of a dockerd configuration file.

    Args:
        data: where images and containers are kept.
        runtime: the installed `oci_runtime` that containers are started through, if they must be.
    """
    result: dict[str, Any] = {
        "data-root": str(data),
        "exec-root": str(EXEC_ROOT),
        "pidfile": str(PID_FILE),
    }
    if runtime is not None:
        result["runtimes"] = {"lowering": {"path": str(runtime)}}
        result["default-runtime"] = "lowering"
    return result


def ensure(settings: Settings, console: Console) -> bool:
    """Makes sure that a Docker engine answers, and says whether it had to be started.

    Raises:
        StepError: when none does and none can be started.
    """
    if answers():
        return False
    if host := os.environ.get("DOCKER_HOST"):
        raise StepError(f"no Docker engine answers at DOCKER_HOST={host}", hint="Start it, or unset it.")
    if not shutil.which("dockerd") or not shutil.which("docker"):
        install_packages(["docker.io"], "a Docker engine", console)
        if answers():  # the package has started it as a service
            return False
    if os.geteuid() != 0:
        raise StepError("no Docker engine answers", hint="Start one: sudo systemctl start docker")
    _start(settings, console)
    return True


def _start(settings: Settings, console: Console) -> None:
    _clear_hard_stop()
    data = settings.cache / "docker"
    data.mkdir(parents=True, exist_ok=True)
    RUN.mkdir(parents=True, exist_ok=True)
    runtime, note = None, ""
    if oci_runtime.host_lacks_capability(oci_runtime.host_status()):
        runtime = settings.cache / "oci-runtime"
        oci_runtime.install(runtime)
        note = f", containers without {oci_runtime.CAPABILITY}, which this host lacks"
    config = settings.cache / "dockerd.json"
    config.write_text(json.dumps(configuration(data, runtime), indent=2))
    log = console.log("dockerd")
    console.say(f"no Docker engine answers: starting dockerd (images in {data}{note}; log: {log})")
    with log.open("w") as output:
        process = subprocess.Popen(
            ["dockerd", "--config-file", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            raise StepError("dockerd did not come up", hint="The log says why.", log=log)
        time.sleep(0.2)


def _clear_hard_stop() -> None:
    """Removes what a dockerd that was stopped hard left behind, and what the next one stumbles over."""
    # it takes any live process of that number for its own or its containerd's, and then does not start
    for pid_file, program in ((PID_FILE, "dockerd"), (CONTAINERD_PID_FILE, "containerd")):
        if running_pid(pid_file, program) is None:
            pid_file.unlink(missing_ok=True)
    # a dead container's network lives on by its file, with an address that the next container gets too
    for namespace in (EXEC_ROOT / "netns").glob("*"):
        succeeds(["umount", "--lazy", namespace])
        namespace.unlink()


def stop(console: Console) -> None:
    """Ends the dockerd that `ensure` started, and its containerd; says so. Leaves any other engine alone."""
    pid = running_pid(PID_FILE, "dockerd")
    if pid is None:
        return
    others = output_of(["docker", "ps", "--format", "{{.Names}}"]) if answers() else ""
    if others:
        console.say(f"dockerd runs on (pid {pid}): other containers need it: {', '.join(others.split())}")
        return
    containerd = running_pid(CONTAINERD_PID_FILE, "containerd")
    end(pid)
    if containerd is not None:
        end(containerd)
    console.say(f"stopped dockerd (pid {pid})")
