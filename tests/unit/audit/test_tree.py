"""Roots and proofs against published figures, against each other for every small tree, and against what is slightly wrong."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from hashlib import sha256

import pytest

from shared.audit import tree
from shared.audit.notes import Signer, key_of_log, key_text, proof_text
from shared.audit.verify import (
    EMPTY_ROOT,
    Checkpoint,
    Edge,
    Key,
    Refused,
    check_consistency,
    check_inclusion,
    check_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    tile_path,
)

# The eight leaves and roots that Certificate Transparency's implementations share (transparency-dev/merkle, testonly/constants.go).
LEAVES = [
    bytes.fromhex(one)
    for one in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
# sumdb/note's example: a private key and its public one
NOTE_KEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
NOTE_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
MOST = 40


def node_of(hashes: Sequence[bytes]) -> tree.Node:
    return lambda level, index: tree.subtree(hashes[index << level : (index + 1) << level])


def root_of(hashes: Sequence[bytes]) -> bytes:
    edge = Edge()
    for one in hashes:
        edge.add(one)
    return edge.root


SOME = [leaf_hash(b"%d" % number) for number in range(MOST)]


@pytest.mark.parametrize("size", range(1, 9))
def test_the_published_roots(size: int) -> None:
    hashes = [leaf_hash(leaf) for leaf in LEAVES[:size]]

    assert root_of(hashes).hex() == ROOTS[size - 1]
    assert tree.root(node_of(hashes), size).hex() == ROOTS[size - 1]


def test_the_empty_tree() -> None:
    assert Edge().root == EMPTY_ROOT == tree.root(node_of([]), 0) == sha256(b"").digest()


def refused(check: object, *arguments: object) -> bool:
    try:
        check(*arguments)  # type: ignore[operator]
    except Refused:
        return True
    return False


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_every_leaf_is_shown_and_nothing_else_is(size: int) -> None:
    root = root_of(SOME[:size])
    for index in range(size):
        proof = tree.inclusion(node_of(SOME), index, size)
        check_inclusion(SOME[index], index, size, proof, root)
        assert proof == inclusion_proof(SOME[:size], index)
        assert refused(check_inclusion, leaf_hash(b"x"), index, size, proof, root)
        assert refused(check_inclusion, SOME[index], index, size, [*proof, EMPTY_ROOT], root)
        assert refused(check_inclusion, SOME[index], index, size, proof, EMPTY_ROOT)
        assert refused(check_inclusion, SOME[index], index + size, size, proof, root)
        if proof:
            assert refused(check_inclusion, SOME[index], index, size, proof[:-1], root)
            assert refused(check_inclusion, SOME[index], (index + 1) % size, size, proof, root)


@pytest.mark.parametrize("size", range(1, MOST + 1))
def test_every_beginning_is_shown_and_no_other_is(size: int) -> None:
    root = root_of(SOME[:size])
    for old in range(size + 1):
        before, proof = root_of(SOME[:old]), tree.consistency(node_of(SOME), old, size)
        check_consistency(old, size, proof, before, root)
        assert refused(check_consistency, old, size, [*proof, EMPTY_ROOT], before, root)
        assert refused(check_consistency, old, size, proof, leaf_hash(b"x"), root)
        if proof:
            assert refused(check_consistency, old, size, proof[:-1], before, root)
            assert refused(check_consistency, old, size, proof, before, EMPTY_ROOT)


def test_a_smaller_tree_begins_with_no_larger_one() -> None:
    assert refused(check_consistency, 5, 4, [], root_of(SOME[:5]), root_of(SOME[:4]))


def test_hashes_out_of_tiles_are_those_of_the_leaves() -> None:
    """Over two levels: the tree of 256 x 256 leaves and some more."""
    size = 256 * 256 + 256 + 7
    hashes = [sha256(b"%d" % number).digest() for number in range(size)]
    levels = [hashes]
    while len(levels[-1]) >= 256:
        below = levels[-1]
        levels.append([tree.subtree(below[at : at + 256]) for at in range(0, len(below) // 256 * 256, 256)])
    wanted = tree.tiles_of(lambda node: (tree.root(node, size), tree.inclusion(node, 70, size)))
    node = tree.from_tiles({(level, n): b"".join(levels[level][256 * n : 256 * n + 256]) for level, n in wanted})

    assert tree.root(node, size) == root_of(hashes)
    check_inclusion(hashes[70], 70, size, tree.inclusion(node, 70, size), root_of(hashes))
    assert len(wanted) <= 6


@pytest.mark.parametrize(
    ("number", "width", "path"),
    [(0, 256, "tile/0/000"), (5, 3, "tile/0/005.p/3"), (1234067, 256, "tile/0/x001/x234/067")],
)
def test_tiles_have_the_paths_of_c2sp(number: int, width: int, path: str) -> None:
    assert tile_path(0, number, width) == path


def test_a_key_of_the_note_package_is_read_and_written() -> None:
    signer = Signer.read(NOTE_KEY)

    assert key_text(signer.key) == NOTE_PUBLIC
    assert signer.secret_text().strip() == NOTE_KEY
    assert NOTE_KEY.rsplit("+", 1)[1] not in repr(signer)


@pytest.mark.parametrize(
    "text", ["", "PRIVATE+KEY+a+00000000+AYEK", NOTE_PUBLIC, NOTE_KEY.replace("c74f20a3", "c74f20a4")]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        Signer.read(text)


def test_a_checkpoint_is_taken_from_its_own_key_only() -> None:
    signer, other = Signer.make("log.example/a"), Signer.make("log.example/a")
    note = signer.checkpoint(3, root_of(SOME[:3]))
    checkpoint = Checkpoint.read(note)

    checkpoint.check_signed(signer.key)
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == ("log.example/a", 3, root_of(SOME[:3]))
    for key in (other.key, signer.of_log(7).key):
        with pytest.raises(Refused):
            checkpoint.check_signed(key)
    with pytest.raises(Refused):
        Checkpoint.read(note.replace("\n3\n", "\n4\n")).check_signed(signer.key)
    assert key_of_log(signer.key, 7) == signer.of_log(7).key


@pytest.mark.parametrize("size", ["03", "+3", "-1", " 3", "x"])
def test_a_size_is_written_in_one_way(size: str) -> None:
    note = Signer.make("log.example/a").checkpoint(3, EMPTY_ROOT).replace("\n3\n", f"\n{size}\n")

    with pytest.raises(Refused):
        Checkpoint.read(note)


def test_a_cosignature_of_a_witness_is_checked() -> None:
    """Type 4: eight bytes of time, then an Ed25519 signature of a line with it and the checkpoint's text."""
    log, witness = Signer.make("log.example/a"), Signer.make("witness.example/w")
    raw = b"\x04" + witness.key.public
    key = Key(witness.name, sha256(witness.name.encode() + b"\n" + raw).digest()[:4], raw[:1], raw[1:])
    note = log.checkpoint(1, SOME[0])
    text, moment = note.split("\n\n")[0] + "\n", 1_700_000_000
    signed = f"cosignature/v1\ntime {moment}\n{text}".encode()
    line = base64.b64encode(key.id + moment.to_bytes(8, "big") + witness._private.sign(signed)).decode()

    Checkpoint.read(f"{note}\u2014 {witness.name} {line}\n").check_signed(key)
    with pytest.raises(Refused):
        Checkpoint.read(f"{note}\u2014 {witness.name} {line}\n".replace("\n1\n", "\n2\n")).check_signed(key)


def test_a_proof_is_a_file_of_its_own() -> None:
    signer = Signer.make("log.example/a")
    leaf = b'{"entry":1,"kind":"ledger"}'
    hashes = [SOME[0], leaf_hash(leaf), SOME[2]]
    text = proof_text(leaf, 1, inclusion_proof(hashes, 1), signer.checkpoint(3, root_of(hashes)))

    assert check_proof(text, signer.key) == (1, 3, {"entry": 1, "kind": "ledger"})
    with pytest.raises(Refused):
        check_proof(text.replace("index 1", "index 2"), signer.key)
    with pytest.raises(Refused):
        check_proof(text.replace(base64.b64encode(leaf).decode(), base64.b64encode(leaf + b" ").decode()), signer.key)


def test_nodes_and_leaves_are_told_apart() -> None:
    assert node_hash(SOME[0], SOME[1]) != leaf_hash(SOME[0] + SOME[1])
