"""The whole show."""

import shlex
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Final

from e2e import report
from e2e.demo import isolation, limits
from e2e.demo.terminal import Terminal
from e2e.harness.cluster import Cluster, NoClusterError
from e2e.harness.controller import find_controller
from e2e.harness.figures import REPORTS, machine
from e2e.harness.limit_watch import LimitsMissingError
from e2e.harness.load import LoadFailedError
from e2e.harness.wait import DeadlineExceededError
from e2e.results import Run


def main() -> int:
    try:
        cluster = Cluster()
        find_controller(cluster)
        show(cluster, Terminal(cluster))
    except (NoClusterError, DeadlineExceededError, LimitsMissingError, LoadFailedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"error: '{shlex.join(error.cmd)}' ended with code {error.returncode}", file=sys.stderr)
        return 1
    return 0


def show(cluster: Cluster, terminal: Terminal) -> None:
    started, start = datetime.now(UTC), time.monotonic()
    case = isolation.show(cluster, terminal)
    run = Run(
        started=started.isoformat(timespec="seconds"),
        seconds=time.monotonic() - start,
        command="make demo",
        machine=machine(cluster.version),
        cases=[case],
    )
    paths = report.write(run, REPORTS, "demo")
    hog = limits.show(cluster, terminal)
    terminal.title("The report of quiet and noisy, with charts, to open in a browser:")
    terminal.say(f"  {paths.html}")
    terminal.title("That was it; the hog is quiet now, and the cluster stays up. What to try next:")
    terminal.say(NEXT.format(hog=hog.pod))


NEXT: Final = """
  kubectl explain tenantquota.spec                      what a quota can say
  kubectl edit tenantquota agents -n acme               another limit; the cgroup follows within a second
  kubectl describe tenantquota agents -n acme           conditions, and the last decisions with their reasons

  kubectl run free -n acme --image tenantquota/agent:dev
  kubectl get pod free -n acme -o jsonpath='{{.spec.containers[0].resources}}'
                                                        a pod that declares nothing is born with limits

  kubectl create --raw '/api/v1/namespaces/acme/pods/{hog}:8080/proxy/hold?bytes=500000000' -f /dev/null
  kubectl get pods -n acme                              too much memory: the request ends in EOF, the
                                                        container is OOMKilled and comes back within its limit

  kubectl delete -f examples/tenants.yaml               ends the show

  make test                                             every test, the cluster's too
  make bench                                            how fast an edit reaches 50 pods
  make down                                             the cluster is gone
"""


if __name__ == "__main__":
    sys.exit(main())
