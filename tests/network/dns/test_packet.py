"""Packets made by hand, against dnspython: what is plain is read as it reads it, what lies is nobody's answer."""

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.network.dns.answers import Answer, Status
from smtproxy.network.dns.packet import Mark, parsed, question, read
from tests.fakes.name_server import reply

ID = b"\x12\x34"
SOA = "zone.test. 300 IN SOA ns.zone.test. host.zone.test. 1 2 3 4 120"


def asked(name: str, kind: str = "A") -> bytes:
    octets = question(name, kind)
    assert octets is not None
    return ID + octets


@pytest.mark.parametrize(
    ("name", "kind"),
    [("2.0.0.127.zone.test", "A"), ("a.test", "MX"), (".", "NS"), ("_dmarc.x.test", "TXT"), ("x.ip6.arpa", "PTR")],
)
def test_a_question_is_what_dnspython_reads(name: str, kind: str) -> None:
    message = dns.message.from_wire(asked(name, kind))
    (only,) = message.question
    assert only.name.to_text(omit_final_dot=True) == name
    assert dns.rdatatype.to_text(only.rdtype) == kind
    assert message.id == 0x1234
    assert message.flags == dns.flags.RD
    assert (message.edns, message.payload) == ((-1, 0) if kind == "A" else (0, 1232))


@pytest.mark.parametrize(
    "name", ["", "a..b", ".a", "a.", "x" * 64, ".".join(["x" * 62] * 5), "bücher.test", "a\x00b", "a\nb", "..", "\x7f"]
)
def test_some_names_cannot_be_asked_for(name: str) -> None:
    assert question(name, "A") is None


def test_the_longest_name() -> None:
    """RFC 1035 2.3.4: 255 octets with all lengths and the root."""
    longest = ".".join(["x" * 63] * 3 + ["x" * 61])
    octets = question(longest, "A")
    assert octets is not None
    assert len(octets) == 10 + 255 + 4
    assert question(longest + "x", "A") is None


def test_addresses() -> None:
    q = asked("list.test")
    assert read(q, reply(q, "list.test. 300 IN A 127.0.0.2", "list.test. 300 IN A 127.0.0.10")) == Answer(
        Status.FOUND, ("127.0.0.2", "127.0.0.10"), 300
    )


@pytest.mark.parametrize(("code", "status"), [(0, Status.NO_DATA), (3, Status.NO_NAME)])
def test_no_such_thing_holds_as_long_as_the_soa_says(code: int, status: Status) -> None:
    q = asked("x.zone.test")
    assert read(q, reply(q, authority=(SOA,), code=code)) == Answer(status, (), 120)
    assert read(q, reply(q, authority=(SOA.replace(" 300 ", " 60 "),), code=code)) == Answer(status, (), 60)
    assert read(q, reply(q, code=code)) == Answer(status)


@pytest.mark.parametrize("code", [1, 2, 4, 5, 9])
def test_other_codes_are_failures(code: int) -> None:
    q = asked("x.zone.test")
    assert read(q, reply(q, code=code)) == Answer(Status.SERVFAIL)


def test_what_does_not_fit_is_truncated() -> None:
    q = asked("x.zone.test")
    assert read(q, reply(q, truncated=True)) is Mark.TRUNCATED


def _changed(octets: bytes, at: int, octet: int) -> bytes:
    return octets[:at] + bytes((octet,)) + octets[at + 1 :]


def test_an_answer_to_another_question_is_nobodys() -> None:
    q = asked("a.test")
    good = reply(q, "a.test. 1 IN A 192.0.2.1")
    other = asked("b.test")
    lies = [
        _changed(good, 0, 0x13),  # id
        q,  # our own question, thrown back
        reply(other, "b.test. 1 IN A 192.0.2.1"),
        _changed(good, 13, ord("A")),  # another spelling: we never write capitals
        _changed(good, len(q) - 3, 28),  # type
        _changed(good, len(q) - 1, 3),  # class
        _changed(good, 2, good[2] | 0x08),  # opcode
        _changed(good, 5, 2),  # two questions
        _changed(good, 5, 0),
        b"",
        good[:11],
        good[:15],
    ]
    assert [read(q, lie) for lie in lies] == [Mark.FOREIGN] * len(lies)
    assert isinstance(read(q, good), Answer)


def test_the_case_of_a_question_is_ours() -> None:
    q = asked("A.Test")
    assert read(q, reply(q, "A.Test. 1 IN A 192.0.2.1")) == Answer(Status.FOUND, ("192.0.2.1",), 1)


def test_an_alias_is_read_by_dnspython() -> None:
    q = asked("alias.test")
    packet = reply(q, "alias.test. 30 IN CNAME real.test.", "real.test. 300 IN A 192.0.2.1")
    assert read(q, packet) is Mark.ODD
    assert parsed(packet) == Answer(Status.FOUND, ("192.0.2.1",), 30)
    packet = reply(q, "alias.test. 30 IN CNAME gone.zone.test.", authority=(SOA,), code=3)
    assert read(q, packet) is Mark.ODD
    assert parsed(packet) == Answer(Status.NO_NAME, (), 30)


def test_the_address_of_another_name_is_no_plain_answer() -> None:
    q = asked("a.test")
    packet = reply(q, "b.test. 30 IN A 192.0.2.1")
    assert read(q, packet) is Mark.ODD
    assert parsed(packet).records == ()


def test_a_referral_is_no_answer() -> None:
    """A lame server knows nothing: "no such data" would be a lie, and would make a sender's domain one without mail."""
    q = asked("x.zone.test")
    packet = reply(q, authority=("zone.test. 300 IN NS ns.zone.test.",))
    assert read(q, packet) is Mark.ODD
    assert parsed(packet) == Answer(Status.SERVFAIL)


@pytest.mark.parametrize(
    ("kind", "line", "record"),
    [
        ("MX", "x.test. 9 IN MX 10 Mail.X.test.", "10 mail.x.test"),
        ("MX", "x.test. 9 IN MX 0 .", "0 ."),
        ("PTR", "x.test. 9 IN PTR Host.X.Test.", "host.x.test"),
        ("TXT", 'x.test. 9 IN TXT "v=spf1 " "-all"', "v=spf1 -all"),
        ("TXT", 'x.test. 9 IN TXT "\\252"', "\xfc"),
        ("AAAA", "x.test. 9 IN AAAA 2001:DB8:0::1", "2001:db8::1"),
        ("NS", "x.test. 9 IN NS NS.X.test.", "ns.x.test"),
    ],
)
def test_other_types(kind: str, line: str, record: str) -> None:
    q = asked("x.test", kind)
    packet = reply(q, line)
    assert read(q, packet) is Mark.ODD
    assert parsed(packet) == Answer(Status.FOUND, (record,), 9)


def test_an_error_of_edns_is_no_negative_answer() -> None:
    """BADVERS is 16: its lower half says NOERROR. RFC 6891 6.1.3"""
    q = asked("x.test", "MX")
    message = dns.message.make_response(dns.message.from_wire(q))
    message.use_edns(0)
    message.set_rcode(dns.rcode.BADVERS)
    assert read(q, message.to_wire()) is Mark.ODD
    assert parsed(message.to_wire()) == Answer(Status.SERVFAIL)


def test_rubbish_behind_the_question_is_a_failure() -> None:
    q = asked("x.test")
    packet = reply(q, "x.test. 9 IN A 192.0.2.1")
    for cut in range(len(q), len(packet)):
        assert read(q, packet[:cut]) is Mark.ODD
        assert parsed(packet[:cut]) == Answer(Status.SERVFAIL)


@given(st.binary(max_size=60), st.integers(0, 3), st.integers(0, 3), st.sampled_from([0x8180, 0x8183, 0x8580, 0x8182]))
def test_whatever_comes_nothing_is_raised(tail: bytes, answers: int, authorities: int, flags: int) -> None:
    q = asked("x.test")
    counts = b"".join(number.to_bytes(2, "big") for number in (flags, 1, answers, authorities, 0))
    packet = ID + counts + q[12:] + tail
    found = read(q, packet)
    assert found is not Mark.FOREIGN
    mine, theirs = found, parsed(packet)
    assert isinstance(theirs, Answer)
    if isinstance(mine, Answer) and mine.status is Status.FOUND and theirs.status is Status.FOUND:
        assert set(mine.records) == set(theirs.records)
