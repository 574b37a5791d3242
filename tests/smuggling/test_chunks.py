"""Smuggling where a body changes its framing: every short string, in BDAT that leaves by DATA, and the other way round.

By BDAT nothing in a text ends it, CRLF.CRLF included: a line of it that is a lone dot must not be one in DATA. What
arrives is compared with the most obvious code there is, in every cut into two chunks and octet by octet, and is fed to
the backends that end a message where they should not.
"""

import pytest

from smtproxy.session.intake import Intake
from smtproxy.session.settings import BodyMode, Chunking, RelaySettings
from smtproxy.wire.chunks import Chunk
from smtproxy.wire.newlines import NewlineMode
from tests.fakes.laboratory import Laboratory
from tests.smuggling.backends import Backends
from tests.smuggling.reference import passed
from tests.smuggling.strings import END, MIDDLE, PLACES, SECOND, cut, octet_by_octet, strings

_LONGEST = 5
_LONGEST_RELAYED = 3
_AROUND = ((b"", b""), (b"A: b\r\n\r\n", SECOND), (b"A: b\r\n\r\nc", b""))
"""What stands before and behind the string: nothing, a header and text that looks like a transaction, text alone."""
_ENVELOPE = b"MAIL FROM:<a@client.example>\r\nRCPT TO:<user@example.org>\r\n"


def _stuffed(text: bytes) -> bytes:
    lines = text.split(b"\r\n")
    return b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)


def _to_data(text: bytes, setting: NewlineMode) -> bytes | None:
    """What is sent behind the 354 for a text that came by BDAT, its end included; None: it is refused."""
    if setting is NewlineMode.NORMALISE:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
        wire = _stuffed(text)
    else:
        wire = _stuffed(text)
        if passed(wire.removesuffix(b"\r\n"), setting) is None:
            return None
    if text and not wire.endswith(b"\r\n"):
        wire += b"\r\n"
    return wire + b".\r\n"


def _unstuffed(text: bytes) -> bytes:
    return b"\r\n".join(line.removeprefix(b".") for line in text.split(b"\r\n"))


def _take(intake: Intake, chunks: list[bytes], *, octets: bool) -> bytes:
    out = b""
    for number, chunk in enumerate(chunks, 1):
        intake.begin(Chunk(len(chunk), last=number == len(chunks)))
        for piece in octet_by_octet(chunk) if octets and chunk else [chunk]:
            out += intake.feed(piece)[0]
        assert intake.complete
    assert intake.ended
    return out


@pytest.mark.parametrize("setting", NewlineMode)
def test_no_text_in_chunks_ends_a_message_in_data(setting: NewlineMode) -> None:
    backends = Backends()
    cases = 0
    for string in strings(_LONGEST):
        for before, behind in _AROUND:
            text = before + string + behind
            wanted = _to_data(text, setting)
            at = range(len(before), len(before) + len(string) + 1)
            ways = [([text], False), ([text], True), (octet_by_octet(text) or [b""], False)]
            for chunks, octets in (*ways, *((cut(text, place), False) for place in at)):
                cases += 1
                intake = Intake(setting, 1 << 20, 1 << 10, chunks_in=True)
                out = _take(intake, chunks, octets=octets)
                where = f"{text!r} in {len(chunks)} chunks"
                assert intake.spoilt is (wanted is None), where
                if wanted is None:
                    assert backends.complaint(out, ended=False) == "", where
                else:
                    assert out + intake.terminator == wanted, where
                    assert backends.complaint(wanted, ended=True) == "", where
    assert cases > 10_000


@pytest.mark.parametrize("setting", NewlineMode)
def test_data_that_becomes_chunks_has_its_dots_taken_off_and_nothing_else(setting: NewlineMode) -> None:
    cases = 0
    for string in strings(_LONGEST):
        for place in PLACES:
            talk = place.talk(string)
            stream = b"\r\n" + talk
            at = stream.index(END)
            text = passed(stream[2:at] if at else b"", setting)
            wanted = None if text is None else _unstuffed(text + (b"\r\n" if at else b""))
            cuts = place.cuts(string)
            for pieces in ([talk], cut(talk, *cuts), *(cut(talk, one) for one in cuts)):
                cases += 1
                intake = Intake(setting, 1 << 20, 1 << 10, chunks_out=True)
                out = b""
                for piece in pieces:
                    if not intake.ended:
                        out += intake.feed(piece)[0]
                where = f"{string!r} at {place.name}, cut into {len(pieces)}"
                assert intake.ended, where
                assert intake.spoilt is (wanted is None), where
                assert wanted is None or out == wanted, where
    assert cases > 10_000


@pytest.mark.parametrize("setting", NewlineMode)
@pytest.mark.parametrize("mode", BodyMode)
def test_it_is_one_message_for_the_backend_and_its_client(mode: BodyMode, setting: NewlineMode) -> None:
    """The whole relay; behind the text a transaction that is one, and inside it one that is none."""
    settings = RelaySettings(
        "mx.example.org", body=mode, newlines=setting, chunking=Chunking.NEVER, trace_header=False, max_message_size=500
    )
    for string in strings(_LONGEST_RELAYED):
        lab = Laboratory(settings)
        lab.start()
        lab.send(b"EHLO client.example\r\n")
        text = MIDDLE.before + string + SECOND
        mark = len(lab.codes)
        lab.send(_ENVELOPE + b"BDAT %d\r\n" % len(text) + text + b"BDAT 0 LAST\r\n")
        lab.send(_ENVELOPE + b"BDAT 3 LAST\r\nb\r\n")
        wanted = _to_data(text, setting)
        fate = [250, 250] if wanted is not None else [554, 554]
        # A bare newline at the very end of a chunk is one only if no LF follows it: then LAST alone hears of it.
        assert lab.codes[mark:] == [250, 250, *fate, 250, 250, 250], string
        accepted = [] if wanted is None else [wanted.removesuffix(b".\r\n")]
        assert [one.wire for one in lab.record.accepted] == [*accepted, b"b\r\n"], string
        assert lab.record.violations == []
