"""Authentication-Results: what we write says what we mean, and nobody else says it in our name."""

import time

import authres
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.wire.authentication_results import LONGEST_FIELD, LONGEST_VALUE, ForgedResults, MethodResult, compose
from tests.wire.pieces import NASTY, PROPERTY, cut, every_cut, octets

OURS = "mx.example.org"


def parsed(field: bytes) -> tuple[str, list[tuple[str, str, dict[str, str]]]]:
    """Read a field as others do."""
    unfolded = field.decode("ascii").replace("\r\n\t", " ").removesuffix("\r\n")
    header = authres.AuthenticationResultsHeader.parse(unfolded)
    return header.authserv_id, [
        (one.method, one.result, {f"{p.type}.{p.name}": p.value for p in one.properties}) for one in header.results
    ]


class TestCompose:
    def test_as_the_rfc_has_it(self) -> None:
        field = compose(
            OURS,
            [
                MethodResult("spf", "pass", (("smtp.mailfrom", "joe@example.com"), ("smtp.helo", "a.example.com"))),
                MethodResult("dkim", "fail", (("header.d", "example.com"), ("header.s", "s1")), "body hash differs"),
                MethodResult("iprev", "pass", (("policy.iprev", "192.0.2.10"),)),
            ],
        )
        assert field == (
            b"Authentication-Results: mx.example.org;\r\n"
            b"\tspf=pass smtp.mailfrom=joe@example.com smtp.helo=a.example.com;\r\n"
            b'\tdkim=fail reason="body hash differs" header.d=example.com header.s=s1;\r\n'
            b"\tiprev=pass policy.iprev=192.0.2.10\r\n"
        )
        assert parsed(field) == (
            OURS,
            [
                ("spf", "pass", {"smtp.mailfrom": "joe@example.com", "smtp.helo": "a.example.com"}),
                ("dkim", "fail", {"header.d": "example.com", "header.s": "s1"}),
                ("iprev", "pass", {"policy.iprev": "192.0.2.10"}),
            ],
        )

    def test_nothing_was_done(self) -> None:
        assert compose(OURS, []) == b"Authentication-Results: mx.example.org; none\r\n"

    @pytest.mark.parametrize(
        ("said", "written"),
        [
            ("joe@example.com", b"joe@example.com"),
            ("example.com", b"example.com"),
            ('"a b"@example.com', b'"\\"a b\\"@example.com"'),
            ("a;dkim=pass", b'"a;dkim=pass"'),
            ("a\r\nX: y", b'"a?X: y"'),
            ("b\u00fccher@example.com", b'"b?cher@example.com"'),
            ("a\\", b'"a\\\\"'),
            ("(comment", b'"(comment"'),
            ("2001:db8::1", b'"2001:db8::1"'),
        ],
    )
    def test_words_of_peers_are_escaped(self, said: str, written: bytes) -> None:
        field = compose(OURS, [MethodResult("spf", "pass", (("smtp.mailfrom", said),))])
        assert field.partition(b"smtp.mailfrom=")[2] == written + b"\r\n"

    @PROPERTY
    @given(st.text(max_size=400), st.text(max_size=400))
    def test_any_text_gives_one_field_with_one_result(self, said: str, reason: str) -> None:
        field = compose(OURS, [MethodResult("dkim", "fail", (("header.d", said), ("header.s", "s")), reason)])
        assert field.isascii()
        assert b"\r\n" not in field.replace(b"\r\n\t", b"").removesuffix(b"\r\n")
        assert max(map(len, field.split(b"\r\n"))) <= 2 * LONGEST_VALUE + 40
        authserv_id, results = parsed(field)
        assert (authserv_id, [one[:2] for one in results]) == (OURS, [("dkim", "fail")])


def through(pieces: list[bytes], ours: str = OURS) -> tuple[bytes, int]:
    results = ForgedResults(ours)
    out = [results.feed(piece) for piece in pieces]
    out.append(results.finish())
    return b"".join(out), results.removed


A, B, END = (
    b"From: a@b.example\r\n",
    b"Subject: x\r\n y\r\n",
    b"\r\nbody\r\nAuthentication-Results: mx.example.org; a=b\r\n",
)

FORGED = [
    b"Authentication-Results: mx.example.org; spf=pass\r\n",
    b"authentication-RESULTS:MX.Example.Org;spf=pass\r\n",
    b"Authentication-Results \t: mx.example.org; none\r\n",
    b"Authentication-Results:\r\n\tmx.example.org;\r\n\tspf=pass\r\n",
    b"Authentication-Results: (a (nested\\) \\( one)) mx.example.org (x) 1 (y); spf=pass\r\n",
    b"Authentication-Results: mx.example.org 1; spf=pass\r\n",
    b"Authentication-Results: mx.example.org/1; spf=pass\r\n",
    b'Authentication-Results: "mx.example.org"; spf=pass\r\n',
    b'Authentication-Results: "mx\\.example.org" 1; spf=pass\r\n',
    b"Authentication-Results: mx.(c)example.org; spf=pass\r\n",
    b"Authentication-Results: mx . example . org; spf=pass\r\n",
    b"Authentication-Results: mx . example . org 1; spf=pass\r\n",
    b"Authentication-Results: mx.example.org.; spf=pass\r\n",
    b"Authentication-Results: mx.example.org\r\n",
    b"Authentication-Results: mx.example.org (never closed; spf=pass\r\n",
    b"Authentication-Results: mx.example.org; " + b"x" * (3 * LONGEST_FIELD) + b"\r\n\tfolded\r\n",
    b"Authentication-Results: (" + b"x" * LONGEST_FIELD + b") other.example; spf=pass\r\n",
]

OTHERS = [
    b"Authentication-Results: other.example; spf=pass\r\n",
    b"Authentication-Results: sub.mx.example.org; spf=pass\r\n",
    b"Authentication-Results: mx.example.organic; spf=pass\r\n",
    b"Authentication-Results: (mx.example.org) other.example; spf=pass\r\n",
    b'Authentication-Results: "other.example;" mx.example.org; spf=pass\r\n',
    b"Authentication-Results: other.example; x=mx.example.org;\r\n\tmx.example.org; a=b\r\n",
    b"Authentication-Results-Original: mx.example.org; spf=pass\r\n",
    b"X-Authentication-Results: mx.example.org; spf=pass\r\n",
    b"ARC-Authentication-Results: i=1; mx.example.org; spf=pass\r\n",
    b"Authentication-Results\r\n",
    b"Authentication-Results:\r\n",
    b"Authentication-Results: ;\r\n",
    b"Subject: folded\r\n\tAuthentication-Results: mx.example.org; a=b\r\n",
    b"Authentication-Results: other.example; " + b"x" * (2 * LONGEST_FIELD) + b"\r\n\tfolded\r\n",
]


class TestForgedResults:
    @pytest.mark.parametrize("field", FORGED)
    @pytest.mark.parametrize("before", [b"", A, B, OTHERS[0], OTHERS[9]])
    @pytest.mark.parametrize("behind", [END, B + END, b"", FORGED[1] + END])
    def test_forged_fields_are_taken_out(self, field: bytes, before: bytes, behind: bytes) -> None:
        left = behind.removeprefix(FORGED[1])
        message = before + field + behind
        pieces = [message[at : at + 1000] for at in range(0, len(message), 1000)]
        assert through(pieces) == (before + left, 1 + (left != behind))

    @pytest.mark.parametrize("field", OTHERS)
    @pytest.mark.parametrize("before", [b"", A, B])
    def test_all_others_stay(self, field: bytes, before: bytes) -> None:
        message = before + field + B + END
        assert through([message[at : at + 1000] for at in range(0, len(message), 1000)]) == (message, 0)

    @pytest.mark.parametrize("field", [*FORGED[:13], *OTHERS[:12]])
    def test_in_any_cut(self, field: bytes) -> None:
        message = A + field + field + B + END
        whole = through([message])
        assert whole == ((A + B + END, 2) if field in FORGED else (message, 0))
        assert all(through(pieces) == whole for pieces in every_cut(message))

    @pytest.mark.parametrize("newline", [b"\n", b"\r"])
    def test_other_newlines_begin_a_field_too(self, newline: bytes) -> None:
        forged = b"Authentication-Results: mx.example.org; a=b"
        for pieces in every_cut(b"X: a" + newline + forged + newline + b"Y: b\r\n\r\nbody"):
            assert through(pieces) == (b"X: a" + newline + b"Y: b\r\n\r\nbody", 1)
        # An empty line of other newlines is one for some servers and none for others.
        for pieces in every_cut(b"X: a" + newline * 2 + forged + b"\r\n\r\n" + forged):
            assert through(pieces) == (b"X: a" + newline + b"\r\n\r\n" + forged, 1)

    @pytest.mark.parametrize("newline", [b"\n", b"\r"])
    def test_whoever_takes_only_crlf_for_a_newline_reads_on(self, newline: bytes) -> None:
        """By BDAT bare newlines go through, and our id stood behind one where nobody looked."""
        for behind in (b"mx.example.org; spf=pass", b'"mx.example.org"; spf=pass', b"(x)mx.example.org;spf=pass"):
            for front in (b"", b" ", b"\r\n\t", b'"', b"("):
                message = b"A: b\r\nAuthentication-Results:" + front + newline + behind + b"\r\n\r\n"
                filtered = ForgedResults("mx.example.org")
                assert filtered.feed(message) + filtered.finish() == b"A: b" + newline + behind + b"\r\n\r\n"
                assert filtered.removed == 1
        honest = b"Authentication-Results: other.example; none" + newline + b"A: b" + newline * 2
        filtered = ForgedResults("mx.example.org")
        assert filtered.feed(honest) + filtered.finish() == honest

    def test_a_message_without_header(self) -> None:
        for pieces in every_cut(b"\r\n" + FORGED[0]):
            assert through(pieces) == (b"\r\n" + FORGED[0], 0)

    def test_a_message_of_forged_fields_alone(self) -> None:
        for pieces in every_cut(FORGED[0] + FORGED[1] + b"\r\n"):
            assert through(pieces) == (b"\r\n", 2)
        assert through([FORGED[0] + FORGED[1]]) == (b"", 2)
        assert through([]) == (b"", 0)

    def test_behind_the_header_nothing_is_copied(self) -> None:
        results = ForgedResults(OURS)
        results.feed(A + b"\r\n")
        piece = bytes(1000)
        assert results.feed(piece) is piece
        assert results.finish() == b""

    def test_what_is_held_is_bounded(self) -> None:
        results = ForgedResults(OURS)
        out = results.feed(A + b"Authentication-Results: ")
        for _ in range(100):
            out += results.feed(b"(" * 4096)
            assert len(results._held) <= LONGEST_FIELD + 8192
        assert results.removed == 1
        assert out + results.feed(b"\r\n" + B + END) == A + B + END

    @PROPERTY
    @given(cut(octets()), st.sampled_from([A, b"", FORGED[0] + A]))
    def test_whatever_comes_nothing_is_added_or_moved(self, pieces: list[bytes], before: bytes) -> None:
        out, removed = through([before, *pieces])
        assert (out, removed) == (before.removeprefix(FORGED[0]) + b"".join(pieces), int(before.startswith(FORGED[0])))

    @PROPERTY
    @given(
        cut(
            st.lists(
                st.sampled_from([*NASTY[:4], *FORGED[:5], b"Authentication-Results:", b" mx.example.org", b";", A, B]),
                max_size=8,
            ).map(b"".join)
        )
    )
    def test_the_cut_does_not_matter(self, pieces: list[bytes]) -> None:
        assert through(pieces) == through([b"".join(pieces)])

    @pytest.mark.parametrize(
        "line",
        [
            b"a\r\n",
            b"\r\n \r\n",
            b"\r",
            b"Authentication-Results: x;\r\n",
            b"Authentication-Results: (((x;\r\n",
            FORGED[0],
        ],
    )
    def test_large_headers_take_no_long_time(self, line: bytes) -> None:
        message = b"X: y\r\n" + line * (4_000_000 // len(line))
        begun = time.process_time()
        through([message[at : at + 65536] for at in range(0, len(message), 65536)])
        assert time.process_time() - begun < 4
