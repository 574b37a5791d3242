"""Plays a scene in memory: relay, policy and sample backend in the laboratory, on a clock that jumps."""

from collections.abc import Callable

from smtproxy.session.relay import Relay
from smtproxy.wire.ehlo import Capabilities, intersect
from tests.fakes.laboratory import EPOCH, Laboratory
from tests.session.playing.checking import Commands, Ear, check_backend, check_log, replies_match
from tests.session.playing.scene import Got, Hear, Leave, Say, Scene, Wait

Cut = Callable[[bytes], list[bytes]]
CLIENT = "127.0.0.1"


def play(scene: Scene, cut: Cut) -> None:
    """Play it; what the client says is sent in the pieces that `cut` makes of it."""
    lab = Laboratory(
        scene.settings,
        profile=scene.profile,
        script=scene.script,
        policy=scene.policy,
        servers=[f"backend{number}:25" for number in range(1, scene.servers + 1)],
        offered=promised(scene),
        client=CLIENT,
        disk=scene.disk,
    )
    if scene.promised is None:
        lab.relay = Relay(lab.dialogue, lab.settings, lab.phrases, None, lab.memory, epoch=EPOCH)
    lab.servers.refusing = scene.refusing
    ear, commands = Ear(), Commands(lab.record)
    lab.start()
    for number, step in enumerate(scene.steps, 1):
        where = f"step {number} of {scene.name}: {step}"
        match step:
            case Say():
                for piece in cut(step.octets):
                    lab.send(piece)
            case Hear():
                ear.octets = lab.heard
                heard = ear.since()
                assert replies_match(heard, step.replies), f"{where}\nheard: {heard}"
                assert lab.finished is step.closed, where
            case Got():
                got = commands.since(step.connection)
                assert got == list(step.commands), f"{where}\ngot: {got}"
            case Wait():
                lab.pass_time(step.seconds)
            case Leave():
                lab.close("reset" if step.how == "reset" else "closed")
    if not lab.finished:
        lab.close()
    ear.octets = lab.heard
    assert ear.since() == [], "the client heard more than the scene tells"
    check_log(scene, lab.log)
    check_backend(scene, lab.record, commands, lab.log)


def promised(scene: Scene) -> Capabilities | None:
    """What the pool would let the relay promise; None: no backend was ever reached."""
    settings = scene.settings
    if scene.promised is None:
        return None
    return intersect([scene.promised], settings.max_message_size, settings.chunking.withholds)
