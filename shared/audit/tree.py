"""Roots and proofs of a Merkle tree (RFC 9162, section 2.1) from the hashes of its perfect subtrees, which tiles hold.

`Node` gives the hash of the subtree number `index` of 2**level leaves. No tree is ever held as a whole: whoever asks finds
out with `tiles_of` which tiles are needed, reads these, and asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from shared.audit.verify import EMPTY_ROOT, TILE, node_hash

Node = Callable[[int, int], bytes]
T = TypeVar("T")
TILE_LEVELS = 8


def root(node: Node, size: int) -> bytes:
    return _of(node, 0, size) if size else EMPTY_ROOT


def inclusion(node: Node, index: int, size: int) -> list[bytes]:
    """The hashes that show leaf `index` in the tree of `size`."""
    proof, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(_of(node, middle, end))
            end = middle
        else:
            proof.append(_of(node, start, middle))
            start = middle
    return proof[::-1]


def consistency(node: Node, old: int, new: int) -> list[bytes]:
    """The hashes that show the tree of `old` leaves as the beginning of that of `new`."""
    if old in (0, new):
        return []
    proof, start, end, whole = [], 0, new, True  # whole: the old tree is all of it so far, whose root is known
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(_of(node, middle, end))
            end = middle
        else:
            proof.append(_of(node, start, middle))
            start, whole = middle, False
    return [*([] if whole else [_of(node, start, end)]), *proof[::-1]]


def _split(count: int) -> int:
    """The largest power of two below it."""
    return 1 << (count - 1).bit_length() - 1


def _of(node: Node, start: int, end: int) -> bytes:
    count = end - start
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return node(level, start >> level)
    middle = start + _split(count)
    return node_hash(_of(node, start, middle), _of(node, middle, end))


def tiles_of(work: Callable[[Node], object]) -> set[tuple[int, int]]:
    """(level, number) of all tiles that the work needs."""
    wanted: set[tuple[int, int]] = set()

    def note(level: int, index: int) -> bytes:
        tile, within = divmod(level, TILE_LEVELS)
        wanted.add((tile, (index << within) // TILE))
        return EMPTY_ROOT

    work(note)
    return wanted


def from_tiles(tiles: Mapping[tuple[int, int], bytes]) -> Node:
    """Hashes out of the tiles that `tiles_of` named."""

    def node(level: int, index: int) -> bytes:
        tile, within = divmod(level, TILE_LEVELS)
        number, at = divmod(index << within, TILE)
        raw = tiles[tile, number]
        return subtree([raw[32 * i : 32 * i + 32] for i in range(at, at + (1 << within))])

    return node


def subtree(hashes: Sequence[bytes]) -> bytes:
    """The hash above a power of two of hashes."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]
