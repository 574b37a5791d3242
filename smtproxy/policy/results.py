"""What our Authentication-Results field says: the facts by which senders are authenticated. RFC 8601

A fact that is unknown is left out, as RFC 8601 knows no word for it but temperror, which is the DNS's alone.
"""

from collections.abc import Iterator

from smtproxy.policy.evidence import Evidence, Known
from smtproxy.policy.facts import ARC, DKIM, DMARC, REVERSE_NAME, SPF
from smtproxy.wire.authentication_results import MethodResult, compose


def results_field(evidence: Evidence, authserv_id: str) -> bytes:
    """Return the field; empty: there is nothing to say."""
    results = [*_iprev(evidence), *_spf(evidence), *_dkim(evidence), *_dmarc(evidence), *_arc(evidence)]
    return compose(authserv_id, results) if results else b""


def _iprev(evidence: Evidence) -> Iterator[MethodResult]:
    fact = evidence.get(REVERSE_NAME)
    if isinstance(fact, Known):
        result = "pass" if fact.value.confirmed else "fail"
        yield MethodResult("iprev", result, (("policy.iprev", evidence.dialogue.client),), fact.value.confirmed)


def _spf(evidence: Evidence) -> Iterator[MethodResult]:
    fact, envelope, hello = evidence.get(SPF), evidence.dialogue.envelope, evidence.dialogue.hello
    if not isinstance(fact, Known) or envelope is None:
        return
    by_hello = envelope.sender.is_null
    said = ("smtp.helo", "" if hello is None else hello.name) if by_hello else ("smtp.mailfrom", str(envelope.sender))
    yield MethodResult("spf", fact.value.result, (said,))


def _dkim(evidence: Evidence) -> Iterator[MethodResult]:
    fact = evidence.get(DKIM)
    if not isinstance(fact, Known):
        return
    if not fact.value.found:
        yield MethodResult("dkim", "none")
    for one in fact.value.found:
        properties = (("header.d", one.domain), ("header.s", one.selector), ("header.a", one.algorithm))
        yield MethodResult("dkim", one.result, properties, one.reason)


def _dmarc(evidence: Evidence) -> Iterator[MethodResult]:
    fact = evidence.get(DMARC)
    if isinstance(fact, Known):
        properties = (("header.from", fact.value.domain), ("policy.dmarc", fact.value.policy))
        yield MethodResult("dmarc", fact.value.result, properties)


def _arc(evidence: Evidence) -> Iterator[MethodResult]:
    fact = evidence.get(ARC)
    if isinstance(fact, Known) and fact.value.result != "none":
        sealer = fact.value.sealers[0] if fact.value.sealers else ""
        yield MethodResult("arc", fact.value.result, (("header.d", sealer),))
