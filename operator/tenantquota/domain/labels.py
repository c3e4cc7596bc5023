"""Label selectors as Kubernetes means them, and whose a pod is by its labels.

NamedTuples, since the node agent uses this and loads neither pydantic nor ``dataclasses``.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Protocol, TypeVar

OPERATORS: Final = frozenset({"In", "NotIn", "Exists", "DoesNotExist"})


class Requirement(NamedTuple):
    """One of ``matchExpressions``."""

    key: str
    operator: str
    """One of OPERATORS."""
    values: tuple[str, ...] = ()


def requirement(key: str, operator: str, values: Iterable[str] = ()) -> Requirement:
    """
    Raises:
        ValueError: there is no such operator.
    """
    if operator not in OPERATORS:
        raise ValueError(f"{operator!r} is no operator of a label selector")
    return Requirement(key, operator, tuple(values))


class Selector(NamedTuple):
    """All of it must hold."""

    match_labels: Mapping[str, str]
    match_expressions: tuple[Requirement, ...] = ()


class Claimant(Protocol):
    """What of a quota says whose pods are."""

    @property
    def tenant(self) -> str: ...

    @property
    def selector(self) -> Selector | None: ...

    @property
    def enforces(self) -> bool: ...


def selects(selector: Selector | None, labels: Mapping[str, str]) -> bool:
    """Kubernetes' label selector semantics; no selector selects every pod."""
    if selector is None:
        return True
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _holds(requirement, labels) for requirement in selector.match_expressions
    )


def _holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case _:  # DoesNotExist
            return value is None


_Claimant = TypeVar("_Claimant", bound=Claimant)


def claimant_of(quotas: Iterable[_Claimant], labels: Mapping[str, str]) -> _Claimant | None:
    """The quota that a pod is counted to, of those of its namespace: of those that select it, one that
    enforces goes before one that only observes. None where none selects it, or where those that do name
    different tenants: that is for a person to say, never guessed."""
    claimants = [quota for quota in quotas if selects(quota.selector, labels)]
    claimants = [quota for quota in claimants if quota.enforces] or claimants
    return claimants[0] if len({quota.tenant for quota in claimants}) == 1 else None


def tenant_of(quotas: Iterable[Claimant], labels: Mapping[str, str]) -> str | None:
    """The tenant that a pod is counted to: see ``claimant_of``."""
    claimant = claimant_of(quotas, labels)
    return None if claimant is None else claimant.tenant
