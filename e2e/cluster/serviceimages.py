"""What the images of PostgreSQL and Redis build on where no registry answers, made from Debian's packages."""

from dataclasses import dataclass
from typing import Final

from e2e.cluster import archive, debian
from e2e.cluster.console import Console
from e2e.cluster.settings import Settings, Versions

USER: Final = 999
"""As in the official images."""


@dataclass(frozen=True)
class Service:
    """
    Attributes:
        folders: what it must be able to write to.
        unwanted: what its packages bring and it doesn't need, as patterns under the root.
    """

    name: str
    packages: tuple[str, ...]
    folders: tuple[str, ...]
    unwanted: tuple[str, ...] = ()

    def image(self, versions: Versions) -> str:
        """Its name, which changes with what it is made from."""
        made_from = debian.key(self.packages, self.hooks)
        return f"tenantquota/{self.name}-packages:{versions.debian_suite}-{made_from}"

    @property
    def hooks(self) -> tuple[str, ...]:
        """What is done with the unpacked packages."""
        # PostgreSQL asks who it is, and lets in at its socket who has the name of a role
        account = f"{self.name}:x:{USER}:{USER}::/tmp:/bin/sh"
        folders = " ".join(f'"$1{folder}"' for folder in self.folders)
        hooks = (f'echo {account} > "$1/etc/passwd"', f"mkdir -p {folders} && chmod 1777 {folders}")
        return (*hooks, *(f'rm -rf "$1"/{pattern}' for pattern in self.unwanted))

    def build(self, settings: Settings, console: Console) -> str:
        """Makes the image and returns its name.

        Raises:
            StepError: when a step fails.
        """
        image = self.image(settings.versions)
        with debian.scratch_folder(settings) as scratch:
            rootfs = scratch / "rootfs.tar"
            title = f"making {image} from Debian packages"
            suite = settings.versions.debian_suite
            debian.extract_rootfs(title, rootfs, self.packages, self.hooks, suite, console)
            debian.import_rootfs(rootfs, image, [f"ENV {archive.SEARCH_PATH}"], console)
        return image


SHELL: Final = ("dash", "coreutils")
POSTGRES: Final = Service(
    "postgres",
    ("postgresql-15", *SHELL),
    folders=("/tmp", "/data", "/run/postgresql"),
    # for compiled queries, other locales than C, and Debian's tools in Perl
    unwanted=(
        "usr/lib/*/libLLVM*",
        "usr/lib/locale",
        "usr/lib/*/perl*",
        "usr/share/perl*",
        "usr/lib/postgresql/15/lib/bitcode",
    ),
)
REDIS: Final = Service("redis", ("redis-server", *SHELL), folders=("/tmp",))
