"""Tests of the reader of dialogue files, and that a scene fails which is not what happens, whichever part is wrong."""

from pathlib import Path

import pytest

from smtproxy.session.settings import BodyMode
from tests.session.playing import memory, sockets
from tests.session.playing.head import unescape
from tests.session.playing.reading import read_scene
from tests.session.playing.scene import Got, Hear, Leave, Say, Scene, Wait

TRUE = """\
# A mail.
body = "hold"
backend = { profile = "domino", max_recipients = 3 }
script = [{ at = "rcpt", nth = 2, do = [{ reply = "451 later" }] }]
---
< 220 mx.example.org ESMTP
> EHLO client.example
< 250
> MAIL FROM:<a@client.example>
> RCPT TO:<user@example.org>
>> RCPT TO:<other@example.org>\\r\\nDATA\\r\\n
< 250 2.1.0
< 250 | 451 later | 354
>* 2 line {}
> .
< 250
wait 1
B EHLO mx.example.org | MAIL FROM:<a@client.example> | RCPT TO:<user@example.org> | RCPT TO:<other@example.org> | DATA
B2
> QUIT
< 221 | close
M
M+* 2 line {}
T Received: from client.example ([127.0.0.1])
= message { outcome = "delivered", body = "hold" }
= session { ended = "quit" }
"""


def scene(tmp_path: Path, text: str) -> Scene:
    path = tmp_path / "a.dialogue"
    path.write_text(text, encoding="utf-8")
    return read_scene(path)


def test_a_file_becomes_a_scene(tmp_path: Path) -> None:
    read = scene(tmp_path, TRUE)
    assert read.name == "a"
    assert read.settings.body is BodyMode.HOLD
    assert read.profile.max_recipients == 3
    assert len(read.script.rules) == 1
    assert read.steps[0] == Hear(("220 mx.example.org ESMTP",), closed=False)
    assert Hear(("250 2.1.0", "250", "451 later", "354"), closed=False) in read.steps
    assert Say(b"line 1\r\nline 2\r\n.\r\n") in read.steps
    assert Wait(1.0) in read.steps
    assert Got(2, ()) in read.steps
    assert read.steps[-1] == Hear(("221",), closed=True)
    assert read.mails == (b"line 1\r\nline 2\r\n",)
    assert read.log["message"] == ({"outcome": "delivered", "body": "hold"},)


def test_a_file_without_a_head_is_a_scene_as_usual(tmp_path: Path) -> None:
    read = scene(tmp_path, "# nothing\n> NOOP\nclient reset\n")
    assert read.steps == (Say(b"NOOP\r\n"), Leave("reset"))
    assert read.mails is None


def test_escapes() -> None:
    assert unescape(r"a\r\n\t\0\\n\xffü\"") == b'a\r\n\t\0\\n\xff\xc3\xbc\\"'


@pytest.mark.parametrize(
    "text",
    [
        "# nothing\nNOOP\n",
        "client leave\n",
        "? 250\n",
        "wait long\n",
        "= nothing {}\n",
        "= message { outcome }\n",
        'bodies = "auto"\n---\n',
        'body = "some"\n---\n',
        'backend = "unheard-of"\n---\n',
        "backend = { max_recipient = 3 }\n---\n",
        "limits.nothing = 1\n---\n",
        "checks.nothing = 1\n---\n",
        'script = [{ at = "nowhere" }]\n---\n',
        'servers = "two"\n---\n',
        "body = auto\n---\n",
    ],
)
def test_what_is_not_known_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"^a\.dialogue: "):
        scene(tmp_path, text)


def test_a_true_scene_passes(tmp_path: Path) -> None:
    memory.play(scene(tmp_path, TRUE), lambda octets: [octets])
    sockets.play(scene(tmp_path, TRUE))


@pytest.mark.parametrize(
    ("true", "false"),
    [
        ("< 220 mx.example.org ESMTP", "< 220 mx.example.org ESMT"),
        ("451 later", "452 later"),
        ("< 250\nwait", "< 250 | 250\nwait"),
        ("< 221 | close", "< 221"),
        ("< 221 | close\n", ""),
        ("| DATA\n", "| DATA | NOOP\n"),
        ("| DATA\n", "\n"),
        ("B2\n", "B2 EHLO mx.example.org\n"),
        ("M+* 2", "M+* 3"),
        ("M\nM+*", "M\nM\nM+*"),
        ("T Received: from client", "T Received: from another"),
        ('"delivered"', '"rejected"'),
        ("= message", "= commit {}\n= commit {}\n= message"),
        ('"quit"', '"closed"'),
        ("> MAIL", "> NOOP\n> MAIL"),
    ],
)
def test_a_false_one_fails(tmp_path: Path, true: str, false: str) -> None:
    assert true in TRUE
    with pytest.raises(AssertionError):
        memory.play(scene(tmp_path, TRUE.replace(true, false, 1)), lambda octets: [octets])
