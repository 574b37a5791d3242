"""Answers of the DNS as values."""

from smtproxy.network.dns.answers import Status


def test_what_the_dns_has_not_said_is_unknown() -> None:
    known = {status for status in Status if status.known}
    assert known == {Status.FOUND, Status.NO_DATA, Status.NO_NAME}
