"""What a policy reads below `context`, and which actions it can be about. Pure.

Only what some policy reads is declared in the schema and computed for a call: building the context is what a decision costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from cedarpy import pst

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reads:
    """`paths` below `context`; the empty path when a policy takes the context as a whole. `actions` and `principal`: None
    for any. `resource`: it asks which call it is."""

    paths: frozenset[Path]
    actions: frozenset[str] | None
    principal: str | None = None
    resource: bool = False

    def concern(self, action: str, groups: frozenset[str]) -> bool:
        """Whether the policy can be about this action, which is in these groups."""
        return self.actions is None or bool(self.actions & (groups | {action}))


def reads_of(policy: Any) -> Reads:
    """What one policy of `PolicySet.to_pst()` reads."""
    return Reads(
        frozenset(_paths(policy.clauses)), _actions(policy.action), _principal(policy.principal), _resource(policy)
    )


def _resource(policy: Any) -> bool:
    return not isinstance(policy.resource, pst.ScopeAny) or _names(policy.clauses, "resource")


def _names(node: Any, variable: str) -> bool:
    return (isinstance(node, pst.Var) and node.name == variable) or any(_names(part, variable) for part in _parts(node))


def _principal(constraint: Any) -> str | None:
    return (
        constraint.entity.id
        if isinstance(constraint, pst.ScopeEq) and isinstance(constraint.entity, pst.EntityUid)
        else None
    )


def _actions(constraint: Any) -> frozenset[str] | None:
    if isinstance(constraint, pst.ActionEq):
        return frozenset({constraint.entity.id})
    if isinstance(constraint, pst.ActionIn):
        return frozenset(entity.id for entity in constraint.entities)
    return None


def _paths(node: Any) -> Iterator[Path]:
    if isinstance(node, pst.GetAttr) and (chain := _chain(node)) is not None:
        yield chain
    elif isinstance(node, pst.HasAttr) and (base := _chain(node.base)) is not None:
        yield (*base, *node.attrs)
    elif isinstance(node, pst.Var):
        if node.name == "context":
            yield ()
    else:
        for part in _parts(node):
            yield from _paths(part)


def _parts(node: Any) -> Iterator[Any]:
    if is_dataclass(node) and not isinstance(node, type):
        for one in fields(node):
            yield getattr(node, one.name)
    elif isinstance(node, Mapping):
        yield from node.values()
    elif isinstance(node, tuple | list | frozenset):
        yield from node


def _chain(node: Any) -> Path | None:
    """`context.a.b` as ("a", "b"); None for what does not begin at the context."""
    attributes: list[str] = []
    while isinstance(node, pst.GetAttr):
        attributes.append(node.attr)
        node = node.base
    begins = isinstance(node, pst.Var) and node.name == "context"
    return tuple(reversed(attributes)) if begins else None
