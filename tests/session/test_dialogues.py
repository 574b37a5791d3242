"""Plays every dialogue: in one piece, octet by octet, in random cuts, and once over real sockets.

The files in `dialogues/` are the tests; `playing/reading.py` says how they are written.
"""

import random
from pathlib import Path

import pytest

from tests.session.playing import memory, sockets
from tests.session.playing.reading import read_scene
from tests.session.playing.scene import Scene

SCENES = [read_scene(path) for path in sorted((Path(__file__).parent / "dialogues").glob("*.dialogue"))]
CUT = [scene for scene in SCENES if not scene.one_piece]
OVER_SOCKETS = [scene for scene in SCENES if not scene.in_memory]
LONGEST = 20_000
"""Octets that are cut into single ones; of longer talks the beginning and the end are."""
SEEDS = 5


def name(scene: Scene) -> str:
    return scene.name


def test_there_are_dialogues() -> None:
    assert len(SCENES) >= 40


@pytest.mark.parametrize("scene", SCENES, ids=name)
def test_in_one_piece(scene: Scene) -> None:
    memory.play(scene, lambda octets: [octets])


@pytest.mark.parametrize("scene", CUT, ids=name)
def test_octet_by_octet(scene: Scene) -> None:
    def cut(octets: bytes) -> list[bytes]:
        edge = min(len(octets), LONGEST) // 2
        middle = octets[edge : len(octets) - edge]
        return [*single(octets[:edge]), *([middle] if middle else []), *single(octets[len(octets) - edge :])]

    memory.play(scene, cut)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("scene", CUT, ids=name)
def test_in_random_cuts(scene: Scene, seed: int) -> None:
    chance = random.Random(f"{scene.name} {seed}")

    def cut(octets: bytes) -> list[bytes]:
        places = sorted(chance.sample(range(1, len(octets)), min(len(octets) - 1, chance.randint(1, 4))))
        return [octets[start:end] for start, end in zip([0, *places], [*places, len(octets)], strict=True)]

    memory.play(scene, cut)


@pytest.mark.parametrize("scene", OVER_SOCKETS, ids=name)
def test_over_sockets(scene: Scene) -> None:
    sockets.play(scene)


def single(octets: bytes) -> list[bytes]:
    return [octets[at : at + 1] for at in range(len(octets))]
