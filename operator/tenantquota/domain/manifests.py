"""Values as manifests have them."""

from tenantquota.domain.model import Resources
from tenantquota.domain.quantities import format_cpu, format_memory


def resources_body(resources: Resources) -> dict[str, dict[str, str]]:
    """A container's ``resources`` as Kubernetes writes them; what isn't set is left out."""
    limits = _quantities(resources.cpu_limit_milli, resources.memory_limit_bytes)
    requests = _quantities(resources.cpu_request_milli, resources.memory_request_bytes)
    return {name: part for name, part in (("limits", limits), ("requests", requests)) if part}


def _quantities(cpu_milli: int | None, memory_bytes: int | None) -> dict[str, str]:
    cpu = {"cpu": format_cpu(cpu_milli)} if cpu_milli is not None else {}
    return cpu | ({"memory": format_memory(memory_bytes)} if memory_bytes is not None else {})
