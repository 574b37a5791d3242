"""What our Authentication-Results field says."""

from typing import Any

from smtproxy.policy.evidence import Evidence, Fact, Known, Unknown
from smtproxy.policy.facts import (
    ARC,
    DKIM,
    DMARC,
    REVERSE_NAME,
    SPF,
    Arc,
    Dmarc,
    ReverseName,
    Signature,
    Signatures,
    Spf,
)
from smtproxy.policy.results import results_field
from smtproxy.session.dialogue import Dialogue, Hello
from smtproxy.session.envelope import Envelope
from smtproxy.session.verdicts import Stage
from smtproxy.wire.paths import NULL_PATH, Path

_SENDER = Path("a", "example.net")


def _field(facts: dict[str, Fact[Any]], sender: Path = _SENDER) -> str:
    dialogue = Dialogue("s", "192.0.2.10", hello=Hello("EHLO", "client.example"), envelope=Envelope(sender))
    made = results_field(Evidence(Stage.MESSAGE, dialogue, facts), "mx.example.org").decode()
    return " ".join(made.split())


def test_each_fact_has_its_result() -> None:
    facts: dict[str, Fact[Any]] = {
        REVERSE_NAME.name: Known(ReverseName(("c.example",), "c.example")),
        SPF.name: Known(Spf("pass", "example.net")),
        DKIM.name: Known(Signatures((Signature("example.net", "s1", "pass", algorithm="rsa-sha256"),))),
        DMARC.name: Known(Dmarc("pass", "example.net", "reject")),
        ARC.name: Known(Arc("pass", ("sealer.example",))),
    }
    assert _field(facts) == (
        'Authentication-Results: mx.example.org; iprev=pass reason="c.example" policy.iprev=192.0.2.10; '
        "spf=pass smtp.mailfrom=a@example.net; dkim=pass header.d=example.net header.s=s1 header.a=rsa-sha256; "
        "dmarc=pass header.from=example.net policy.dmarc=reject; arc=pass header.d=sealer.example"
    )


def test_the_null_path_is_checked_by_the_hello_name() -> None:
    assert _field({SPF.name: Known(Spf("fail"))}, NULL_PATH).endswith("spf=fail smtp.helo=client.example")


def test_what_is_not_known_is_not_said() -> None:
    assert _field({SPF.name: Unknown("timeout"), DKIM.name: Unknown("timeout")}) == ""
    assert _field({DKIM.name: Known(Signatures())}).endswith("dkim=none")
    nothing = _field({SPF.name: Known(Spf("none")), ARC.name: Known(Arc("none"))})
    assert nothing == "Authentication-Results: mx.example.org; spf=none smtp.mailfrom=a@example.net"
