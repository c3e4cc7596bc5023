"""Builds our images, brings them onto the nodes and installs the chart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.console import Console, StepError, output_of, succeeds
from e2e.cluster.kind import Node, kubectl
from e2e.cluster.settings import CLUSTER, CONTEXT, NAMESPACE, RELEASE, Settings

CHART = "charts/tenantquota"
LABEL = f"app.kubernetes.io/instance={RELEASE}"
INSTALL_TIMEOUT = "2m"
ID_DIGITS = 12

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
# what says where pip finds packages, apart from paths of files, which are the host's own
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")


@dataclass(frozen=True)
class Image:
    """An image of ours.

    Attributes:
        dockerfile: its path in the repository.
        context: the folder that it is built from.
    """

    repository: str
    dockerfile: str
    context: str

    @property
    def current(self) -> str:
        """The name of its newest build."""
        return f"{self.repository}:dev"


OPERATOR = Image("tenantquota/operator", "operator/Dockerfile", ".")
AGENT = Image("tenantquota/agent", "e2e/workload/Dockerfile", ".")
TENANT = Image("tenantquota/tenant", "e2e/tenant/Dockerfile", ".")
POSTGRES = Image("tenantquota/postgres", "e2e/services/postgres/Dockerfile", "e2e/services/postgres")
REDIS = Image("tenantquota/redis", "e2e/services/redis/Dockerfile", "e2e/services/redis")
STRESS = Image("tenantquota/stress-ng", "e2e/stress/Dockerfile", "e2e/stress")


def content_tag(image_id: str) -> str:
    """The tag of an image with that id.

    A tag for each content makes a Deployment roll when the image has changed and only then, and a rollback of
    the release bring the former image back.
    """
    return image_id.removeprefix("sha256:")[:ID_DIGITS]


def pip_settings(listed: str) -> dict[str, str]:
    """The settings in the output of `pip config list` that a build needs too, by name.

    A setting from the environment wins over one from a file, as it does for pip.
    """
    found: dict[str, str] = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2].removeprefix("default-")
        if name in PIP_SETTINGS:
            found[name] = value.strip("'\"")
    return found


def build_arguments(base_image: str, pip: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """The `--build-arg`s of our images: their base, and how this host reaches package indexes."""
    proxies = {name: environ.get(name) or environ.get(name.lower()) for name in PROXY_VARIABLES}
    return {
        "BASE_IMAGE": base_image,
        **{f"PIP_{name.replace('-', '_').upper()}": value for name, value in pip.items()},
        **{name: value for name, value in proxies.items() if value},
    }


def build(image: Image, arguments: Mapping[str, str], settings: Settings, console: Console) -> str:
    """Builds an image and returns its name with a tag for its content; docker skips what is unchanged.

    Raises:
        StepError: when its Dockerfile is missing or the build fails.
    """
    root = settings.repository
    if not (root / image.dockerfile).is_file():
        raise StepError(f"{image.dockerfile} is missing", hint="Is this a whole checkout?")
    options = ["--network", "host", "--tag", image.current, "--file", str(root / image.dockerfile)]
    for name, value in arguments.items():
        options += ["--build-arg", f"{name}={value}"]
    console.run(
        f"building {image.repository}",
        ["docker", "build", *options, str(root / image.context)],
        step="image-" + image.repository.rpartition("/")[2],
        hint="The build needs a package index: see `pip config list` and HTTPS_PROXY.",
        # without buildx, docker's own builder is the one that works everywhere
        env={} if succeeds(["docker", "buildx", "version"]) else {"DOCKER_BUILDKIT": "0"},
    )
    image_id = output_of(["docker", "image", "inspect", "--format", "{{.Id}}", image.current])
    tagged = f"{image.repository}:{content_tag(image_id)}"
    output_of(["docker", "tag", image.current, tagged])
    _drop_former(image, keep=(image.current, tagged))
    return tagged


def _drop_former(image: Image, keep: Sequence[str]) -> None:
    names = output_of(["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", image.repository])
    former = set(names.splitlines()) - set(keep)
    if former:
        succeeds(["docker", "image", "rm", *sorted(former)])


def load(image: Image, tagged: str, nodes: Sequence[Node], console: Console) -> None:
    """Puts a built image onto those nodes that lack it, as `:dev` and under its content's tag.

    Raises:
        StepError: when kind cannot load it.
    """
    lacking = ",".join(node.name for node in nodes if not _node_has(node.name, tagged))
    if not lacking:
        return
    command = ["kind", "load", "docker-image", "--name", CLUSTER, "--nodes", lacking]
    console.run(f"loading {tagged} into {lacking}", [*command, tagged, image.current], step="load")


def _node_has(node: str, reference: str) -> bool:
    listing = ["docker", "exec", node, "ctr", "--namespace", "k8s.io", "images", "ls", "-q"]
    return bool(output_of([*listing, f"name==docker.io/{reference}"]))


def install_chart(operator: str, settings: Settings, console: Console) -> None:
    """Installs or upgrades the release to that operator image, and waits until it is ready.

    Raises:
        StepError: when it does not get ready, with what its pods say in the log.
    """
    repository, _, tag = operator.rpartition(":")
    options = ["--namespace", NAMESPACE, "--create-namespace", "--wait", "--timeout", INSTALL_TIMEOUT]
    options += ["--set-string", f"image.repository={repository},image.tag={tag}"]
    chart = str(settings.repository / CHART)
    try:
        console.run(
            f"installing the chart as {RELEASE} in {NAMESPACE}",
            ["helm", "--kube-context", CONTEXT, "upgrade", "--install", RELEASE, chart, *options],
            step="chart",
        )
    except StepError as error:
        log = console.log("chart")
        with log.open("a") as file:
            for question in (["describe", "pods"], ["logs", "--all-containers", "--selector", LABEL]):
                print(_what_it_says(kubectl("--namespace", NAMESPACE, *question)), file=file)
        raise StepError(str(error), hint="The log ends with what the release's pods say.", log=log) from error


def _what_it_says(command: Sequence[str | Path]) -> str:
    try:
        return output_of(command)
    except StepError as error:
        return str(error)
