"""Strangers who send as one of our domains."""

import pytest

from smtproxy.policy.checks.own_sender import CHECK, OwnSenderOptions, check, own_sender
from smtproxy.policy.evidence import Unknown
from smtproxy.policy.facts import DKIM, HEADER, SPF, HeaderBlock, Signature, Signatures, Spf
from smtproxy.policy.findings import CannotTell, Finding
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from tests.policy.checks.evidence import seen
from tests.policy.facts import nothing

OURS = OwnSenderOptions(domains=frozenset({"example.org", "example.net"}))
FAIL, UNKNOWN = Spf("fail", "example.org"), Unknown("timeout")


def signed(*signatures: tuple[str, str]) -> Signatures:
    return Signatures(tuple(Signature(domain, "s", result) for domain, result in signatures))


def written_by(*domains: str) -> HeaderBlock:
    return HeaderBlock(from_domains=domains)


@pytest.mark.parametrize(
    ("sender", "spf", "found"),
    [
        ("boss@example.org", FAIL, Reason.OWN_SENDER),
        ("boss@EXAMPLE.org", Spf("softfail", "example.org"), Reason.OWN_SENDER),
        ("boss@example.org", Spf("none", "example.org"), Reason.OWN_SENDER),
        ("boss@example.org", Spf("pass", "example.org"), None),
        ("boss@example.org", Spf("temperror", "example.org"), CannotTell("spf", "temperror")),
        ("boss@example.org", UNKNOWN, CannotTell("spf", "timeout")),
        ("joe@example.com", FAIL, None),
        ("joe@sub.example.org", FAIL, None),
        ("joe@evilexample.org", FAIL, None),
        ("", FAIL, None),
    ],
)
@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RECIPIENT])
def test_envelope(sender: str, spf: object, found: object, stage: Stage) -> None:
    said = own_sender(OURS, seen(stage, (SPF, spf), sender=sender))
    assert (said.reason if isinstance(said, Finding) else said) == found


@pytest.mark.parametrize(
    ("authors", "spf", "dkim", "found"),
    [
        (("example.org",), FAIL, signed(), Reason.OWN_AUTHOR),
        (("example.com", "example.org"), FAIL, signed(), Reason.OWN_AUTHOR),
        (("example.com",), FAIL, signed(), None),
        ((), FAIL, signed(), None),
        (("example.org",), Spf("pass", "evil.example"), signed(("evil.example", "pass")), Reason.OWN_AUTHOR),
        (("example.org",), Spf("pass", "org"), signed(("org", "pass")), Reason.OWN_AUTHOR),
        (("example.org",), Spf("pass", "example.org"), signed(), None),
        (("example.org",), Spf("pass", "bounce.example.org"), signed(), None),
        (("example.org",), Spf("pass", "example.net"), signed(), None),
        (("example.org",), FAIL, signed(("example.org", "pass")), None),
        (("example.org",), FAIL, Signatures((Signature("example.org", "s", "pass", testing=True),)), Reason.OWN_AUTHOR),
        (("example.org",), FAIL, signed(("x.example", "pass"), ("news.example.org", "pass")), None),
        (("example.org",), FAIL, signed(("example.org", "fail")), Reason.OWN_AUTHOR),
        (("example.org",), FAIL, signed(("example.org", "temperror")), CannotTell("dkim", "temperror")),
        (("example.org",), FAIL, signed(("evil.example", "temperror")), Reason.OWN_AUTHOR),
        (("example.org",), FAIL, UNKNOWN, CannotTell("dkim", "timeout")),
        (("example.org",), UNKNOWN, signed(), CannotTell("spf", "timeout")),
        (("example.org",), UNKNOWN, signed(("example.org", "pass")), None),
        (("example.org",), Spf("pass", "example.org"), UNKNOWN, None),
    ],
)
def test_author(authors: tuple[str, ...], spf: object, dkim: object, found: object) -> None:
    said = own_sender(OURS, seen(Stage.MESSAGE, (HEADER, written_by(*authors)), (SPF, spf), (DKIM, dkim)))
    assert (said.reason if isinstance(said, Finding) else said) == found


def test_a_header_that_is_not_known() -> None:
    assert own_sender(OURS, seen(Stage.MESSAGE, (HEADER, UNKNOWN))) == CannotTell("header", "timeout")


def test_each_kind_can_be_left_out() -> None:
    domains = OURS.domains
    assert (
        own_sender(OwnSenderOptions(envelope=False, domains=domains), seen(Stage.MAIL, sender="a@example.org")) is None
    )
    message = seen(Stage.MESSAGE, (HEADER, written_by("example.org")), (SPF, FAIL), (DKIM, signed()))
    only_envelope = OwnSenderOptions(author=False, domains=domains)
    assert own_sender(only_envelope, message) is None
    assert check(only_envelope).needs == (SPF,)
    assert check(only_envelope).stages == {Stage.MAIL}
    assert check(OURS) is CHECK


def test_without_domains_of_our_own_there_is_nothing_to_find() -> None:
    assert own_sender(OwnSenderOptions(), seen(Stage.MESSAGE, (HEADER, UNKNOWN))) is None
    assert own_sender(OURS, nothing(Stage.MAIL)) is None
