"""Tenants that serve customers: each a namespace with quota, Secret and agent, let into the services."""

import asyncio
import logging
import secrets
import ssl
import time
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from e2e.cluster.deploy import TENANT
from e2e.harness import canaries, many, tenants
from e2e.harness.administration import StoreCredentials, administrator
from e2e.harness.canaries import Finding, Search
from e2e.harness.cluster import Cluster, Manifest
from e2e.harness.rollout import roll_out
from e2e.harness.services import Services, secret
from e2e.tenant import tokens
from e2e.tenant.client import Address, Customer, customer
from e2e.tenant.protocol import Introduce, Recall, Remember, State, Whoami
from tenantquota.domain.contention import DEFAULT_WEIGHT

LOG: Final = logging.getLogger(__name__)
AGENT: Final = "agent"
"""The name of a tenant's first pod."""
CREDENTIALS: Final = "credentials"
"""The name of a tenant's Secret."""
USER: Final = "customer"
TOKEN_SECONDS: Final = 3600.0
GRACE_SECONDS: Final = 10
"""For an orderly exit, which takes some milliseconds."""
LEASE_SECONDS: Final = 6
"""Of sessions in the stores: how long those of a dead agent stay."""
START_SECONDS: Final = 120


@dataclass(frozen=True)
class Tenant:
    """One tenant, and the secrets that are its own.

    Attributes:
        name: also its namespace, its role in PostgreSQL, and the prefix of its keys in Redis.
        canary: a text that is nobody else's.
    """

    cluster: Cluster
    name: str
    jwt_key: str
    stores: StoreCredentials
    canary: str

    def token(self, user: str = USER, *, lifetime_seconds: float = TOKEN_SECONDS) -> str:
        """A token of this tenant for one of its users, good from now on."""
        expires = time.time() + lifetime_seconds
        return tokens.issue(self.jwt_key, self.name, user, expires_seconds=expires)

    def address(self, agent: str = AGENT) -> Address:
        """Where its agent is, by the API server's proxy."""
        return proxied(self.cluster, f"/api/v1/namespaces/{self.name}/pods/{agent}:{tenants.PORT}/proxy/")

    @asynccontextmanager
    async def customer(
        self, user: str = USER, *, agent: str = AGENT, witness: Callable[[str], object] | None = None
    ) -> AsyncIterator[Customer]:
        """A session of that user; see ``e2e.tenant.client.customer``."""
        async with customer(self.address(agent), self.token(user), witness=witness) as session:
            yield session

    async def plant(self) -> None:
        """Has the agent keep the canary in its context and so in Redis, and in PostgreSQL."""
        async with self.customer() as session:
            await session.ask(Remember(canaries.CANARY, self.canary))
            await session.ask(Introduce(self.canary))

    async def inspect(self, search: Search) -> None:
        """Has the agent say all that it says, and looks at the replies."""

        def look(reply: str) -> None:
            search.look(Finding(self.name, canaries.REPLY, reply))

        async with self.customer(witness=look) as session:
            for request in (Recall(canaries.CANARY), Whoami(), State()):
                await session.ask(request)


@dataclass(frozen=True)
class Terms:
    """What a tenant's quota says: limits and requests of each container, and the tenant's weight.

    Attributes:
        cpu, memory: the limits.
        requested_cpu: small by default, so that a hundred tenants fit on two cores beside what else is there.
        requested_memory: about what an idle agent uses.
        held: whether there is a quota.
        latency_sensitive: the quota's field.
        further: fields of the spec.
    """

    cpu: str = "500m"
    memory: str = "128Mi"
    requested_cpu: str = "4m"
    requested_memory: str = "32Mi"
    weight: int = DEFAULT_WEIGHT
    held: bool = True
    latency_sensitive: bool = False
    further: Mapping[str, Any] = field(default_factory=dict)

    def quota(self, tenant: str) -> Manifest:
        return tenants.quota(
            tenant,
            cpu=self.cpu,
            memory=self.memory,
            requests=self._requests(),
            weight=self.weight,
            latencySensitive=self.latency_sensitive,
            **self.further,
        )

    def declared(self) -> tenants.Resources:
        """What the tenant's pods say themselves: a quota's requests are the most that they get."""
        return {"requests": self._requests()}

    def _requests(self) -> Mapping[str, str]:
        return {"cpu": self.requested_cpu, "memory": self.requested_memory}


@contextmanager
def serving(
    cluster: Cluster,
    services: Services,
    prefix: str,
    *suffixes: str,
    cpu: str = Terms.cpu,
    memory: str = Terms.memory,
    terms: Mapping[str, Terms] | None = None,
) -> Iterator[list[Tenant]]:
    """Tenants with one agent each, answering, with those limits; gone at the end, from the services too.

    Args:
        terms: by suffix, of those tenants that have others than ``cpu`` and ``memory``.

    Raises:
        DeadlineExceededError: when an agent doesn't get ready, with the state of its pod.
    """
    step = _Steps(len(suffixes))
    with admitted(cluster, services, prefix, *suffixes) as made:
        step("have a namespace and are let into the services")
        of_each = [(terms or {}).get(suffix, Terms(cpu=cpu, memory=memory)) for suffix in suffixes]

        def prepare(pair: tuple[Tenant, Terms]) -> None:
            tenant, own = pair
            quota = [own.quota(tenant.name)] if own.held else []
            cluster.apply(*quota, credentials(tenant))

        pairs = list(zip(made, of_each, strict=True))
        many.each(prepare, pairs)
        step("have quota and Secret")
        pods = [agent(tenant.name, services, resources=own.declared()) for tenant, own in pairs]
        roll_out(cluster, pods)
        step("answer")
        try:
            yield made
        finally:
            step.restart()
    step("are gone")


@contextmanager
def admitted(cluster: Cluster, services: Services, prefix: str, *suffixes: str) -> Iterator[list[Tenant]]:
    """Tenants with a namespace and rights in the services, without quota or agents; gone at the end with all
    that they have by then."""
    made: list[Tenant] = []
    try:
        with cluster.temporary_namespaces(prefix, *suffixes, patient=False) as names:
            made += [new(cluster, name) for name in names]
            asyncio.run(_admit(services, made))
            try:
                yield made
            finally:
                cluster.end_pods(names)
    finally:
        # last: while an agent runs it may still add to what is removed here
        asyncio.run(expel(services, made))


class _Steps:
    """Tells how far it is, and how long each step took."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.restart()

    def restart(self) -> None:
        self._since = time.monotonic()

    def __call__(self, what: str) -> None:
        LOG.info("%d tenants %s: %.1f s", self._count, what, time.monotonic() - self._since)
        self.restart()


def new(cluster: Cluster, name: str) -> Tenant:
    """A tenant of that name with new secrets, not let in anywhere."""
    return Tenant(
        cluster,
        name,
        jwt_key=secrets.token_hex(32),
        stores=StoreCredentials(secrets.token_hex(16), secrets.token_hex(16)),
        canary=canaries.new(),
    )


async def _admit(services: Services, made: Sequence[Tenant]) -> None:
    async with administrator(services) as all_of_it:
        await all_of_it.admit({tenant.name: tenant.stores for tenant in made})


async def expel(services: Services, made: Sequence[Tenant]) -> None:
    """Takes tenants out of the services with all that they have there."""
    if made:
        async with administrator(services) as all_of_it:
            await all_of_it.expel([tenant.name for tenant in made])


def credentials(tenant: Tenant) -> Manifest:
    """The Secret with what the tenant's agents need to know."""
    return secret(
        tenant.name,
        CREDENTIALS,
        {
            "JWT_KEY": tenant.jwt_key,
            "POSTGRES_PASSWORD": tenant.stores.postgres_password,
            "REDIS_PASSWORD": tenant.stores.redis_password,
        },
    )


def agent(
    tenant: str,
    services: Services,
    name: str = AGENT,
    *,
    restarts: bool = True,
    resources: tenants.Resources | None = None,
) -> Manifest:
    """The pod of one of the tenant's agents.

    Args:
        restarts: whether the kubelet starts it anew after its end.
        resources: those that it declares itself.
    """
    manifest = tenants.agent(name, tenant, resources=resources, scratch=True)
    (container,) = manifest["spec"]["containers"]
    probe = {"httpGet": {"path": "/healthz", "port": tenants.PORT}}
    container |= {
        "image": TENANT.current,
        "env": [{"name": key, "value": value} for key, value in _environment(tenant, name, services).items()],
        "envFrom": [{"secretRef": {"name": CREDENTIALS}}],
        "startupProbe": {**probe, "periodSeconds": 1, "failureThreshold": START_SECONDS},
        "readinessProbe": {**probe, "periodSeconds": 10, "timeoutSeconds": 5},
    }
    manifest["spec"]["terminationGracePeriodSeconds"] = GRACE_SECONDS
    manifest["spec"]["restartPolicy"] = "Always" if restarts else "Never"
    return manifest


def _environment(tenant: str, name: str, services: Services) -> Mapping[str, str]:
    return {
        "TENANT": tenant,
        "AGENT": name,
        "PORT": str(tenants.PORT),
        "POSTGRES_HOST": services.postgres_host,
        "REDIS_HOST": services.redis_host,
        "LEASE_SECONDS": str(LEASE_SECONDS),
        "SCRATCH": "/scratch",
    }


def proxied(cluster: Cluster, path: str) -> Address:
    """The WebSocket at a path of the API server."""
    known = cluster.configuration
    tls = None
    if known.host.startswith("https:"):
        tls = ssl.create_default_context(cafile=known.ssl_ca_cert)
        tls.check_hostname = known.verify_ssl and known.assert_hostname is not False
        tls.verify_mode = ssl.CERT_REQUIRED if known.verify_ssl else ssl.CERT_NONE
        if known.cert_file:
            tls.load_cert_chain(known.cert_file, known.key_file)
    bearer = known.get_api_key_with_prefix("authorization")
    return Address(
        "ws" + known.host.removeprefix("http") + path, tls, {"Authorization": bearer} if bearer else {}
    )
