"""What the user can choose, and the versions of everything. Read once, in `__main__`, and handed down."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

CLUSTER = "tenantquota"
CONTEXT = f"kind-{CLUSTER}"
RELEASE = "tenantquota"
NAMESPACE = "tenantquota-system"

REPOSITORY = Path(__file__).resolve().parents[2]
VERSIONS_FILE = Path(__file__).with_name("versions.env")


class SettingError(ValueError):
    """A setting that cannot be used; the message says what to change."""


@dataclass(frozen=True)
class Versions:
    """The content of `versions.env`, one field a line."""

    kind_version: str
    kindest_node_image: str
    python_base_image: str
    debian_base_image: str
    postgres_base_image: str
    redis_base_image: str
    kubernetes_version: str
    containerd_version: str
    runc_version: str
    cni_plugins_version: str
    crictl_version: str
    etcd_version: str
    coredns_version: str
    pause_version: str
    debian_suite: str
    helm_version: str


@dataclass(frozen=True)
class Settings:
    """Where things are and what was asked for.

    Attributes:
        cache: holds all that is built or downloaded; survives `make down` and a fresh clone.
        workers: worker nodes beside the control plane, which runs pods itself when there are none;
            None where the user did not say, so that a running cluster is taken as it is.
        node_image: used instead of the choice that `images.choose` would make.
        base_image: the same for what our Dockerfiles build on.
        keep_engine: whether `down` leaves dockerd running even if `up` started it.
    """

    versions: Versions
    cache: Path
    workers: int | None = None
    node_image: str | None = None
    base_image: str | None = None
    keep_engine: bool = False
    repository: Path = REPOSITORY

    @property
    def tools(self) -> Path:
        """The folder that holds kind, kubectl and helm, to be put first on PATH."""
        return self.cache / "tools"

    @property
    def logs(self) -> Path:
        """One log file per long step, overwritten by the next run of that step."""
        return self.cache / "logs"


def parse_versions(text: str) -> Versions:
    """Reads `KEY=VALUE` lines; every field of Versions must be there, and nothing else.

    Raises:
        SettingError: for a line without `=`, an unknown key or a missing one.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        key, separator, value = line.partition("=")
        if not separator or not value.strip():
            raise SettingError(f"versions.env: {line!r} is not KEY=VALUE")
        found[key.strip().lower()] = value.strip()
    wanted = {field.name for field in fields(Versions)}
    if found.keys() != wanted:
        wrong = ", ".join(sorted(key.upper() for key in found.keys() ^ wanted))
        raise SettingError(f"versions.env: missing or unknown: {wrong}")
    return Versions(**found)


def parse_workers(text: str) -> int | None:
    """The number of worker nodes in WORKERS; None for an empty text.

    Raises:
        SettingError: unless it is a whole number from 0 to 9.
    """
    if not text:
        return None
    if not text.isdecimal() or int(text) > 9:
        raise SettingError(f"WORKERS={text}: give a whole number from 0 to 9")
    return int(text)


def read_settings(environ: Mapping[str, str], *, keep_engine: bool = False) -> Settings:
    """The settings that the environment and `versions.env` give.

    Raises:
        SettingError: for a value that cannot be used.
    """
    cache_home = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = Path(environ.get("TENANTQUOTA_CACHE") or cache_home / "tenantquota")
    if not cache.is_absolute():
        raise SettingError(f"TENANTQUOTA_CACHE={cache}: give an absolute path")
    return Settings(
        versions=parse_versions(VERSIONS_FILE.read_text()),
        cache=cache,
        workers=parse_workers(environ.get("WORKERS", "")),
        node_image=environ.get("TENANTQUOTA_NODE_IMAGE") or None,
        base_image=environ.get("TENANTQUOTA_BASE_IMAGE") or None,
        keep_engine=keep_engine,
    )
