"""Writes container images as archives that `ctr images import` and `docker load` read, without an engine.

The format is that of `docker save`: a configuration, layers as tar files, and a manifest that names them
(https://github.com/moby/docker-image-spec/blob/main/v1.2.md).
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Sequence
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
SEARCH_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def architecture(machine: str | None = None) -> str:
    """The name that image configurations use for this machine."""
    machine = machine or platform.machine()
    return ARCHITECTURES.get(machine, machine)


def _member(name: str, size: int, mode: int) -> tarfile.TarInfo:
    # no time and no owner, so that equal content gives an equal digest
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, mode
    return member


def write_layer(program: Path, path_in_image: str, layer: Path) -> None:
    """Writes a layer of one executable file."""
    with tarfile.open(layer, "w") as tar, program.open("rb") as content:
        tar.addfile(_member(path_in_image.lstrip("/"), program.stat().st_size, 0o755), content)


def digest(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_image(archive: Path, reference: str, layers: Sequence[Path], entrypoint: Sequence[str]) -> None:
    """Writes an image of uncompressed layers, the lowest first."""
    digests = [digest(layer) for layer in layers]
    configuration = json.dumps(
        {
            "architecture": architecture(),
            "os": "linux",
            "config": {"Env": [SEARCH_PATH], "Entrypoint": list(entrypoint)},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{each}" for each in digests]},
        }
    ).encode()
    name = f"{hashlib.sha256(configuration).hexdigest()}.json"
    names = [f"{each}.tar" for each in digests]
    manifest = json.dumps([{"Config": name, "RepoTags": [reference], "Layers": names}]).encode()
    with tarfile.open(archive, "w") as tar:
        for layer, layer_name in zip(layers, names, strict=True):
            with layer.open("rb") as content:
                tar.addfile(_member(layer_name, layer.stat().st_size, 0o644), content)
        for member_name, data in ((name, configuration), ("manifest.json", manifest)):
            tar.addfile(_member(member_name, len(data), 0o644), io.BytesIO(data))
