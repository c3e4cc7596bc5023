"""What the image with Debian's stress-ng builds on where no registry answers, made from its packages."""

from e2e.cluster import archive, debian
from e2e.cluster.console import Console
from e2e.cluster.settings import Settings, Versions

PACKAGES = ("stress-ng", "dash", "coreutils")


def name(versions: Versions) -> str:
    """Its name, which changes with its packages."""
    return f"tenantquota/stress-ng-packages:{versions.debian_suite}-{debian.key(PACKAGES)}"


def build(settings: Settings, console: Console) -> str:
    """Makes it, with nothing but these packages unpacked in it, and returns its name.

    Raises:
        StepError: when a step fails.
    """
    image = name(settings.versions)
    with debian.scratch_folder(settings) as scratch:
        rootfs = scratch / "rootfs.tar"
        title = f"making {image} from Debian packages"
        debian.extract_rootfs(title, rootfs, PACKAGES, (), settings.versions.debian_suite, console)
        debian.import_rootfs(rootfs, image, [f"ENV {archive.SEARCH_PATH}"], console)
    return image
