"""What the backend's replies teach about recipients, and what they must not."""

from typing import Any

import pytest

from smtproxy.lookups.recipients import learned
from smtproxy.lookups.recipients.entries import MISSING
from smtproxy.lookups.recipients.learned import LearnedSettings, LearnedSource
from smtproxy.lookups.recipients.spelling import Address, Spelling
from smtproxy.policy.evidence import Known

USER = Address("user", "example.org")
NO_SUCH_USER = "550 5.1.1 no such user"


class Stage:
    """A source and its clock."""

    def __init__(self) -> None:
        self.now = 1e9
        settings = LearnedSettings("learned", frozenset({"example.org"}), 600)
        self.source = LearnedSource(settings, Spelling(), lambda: self.now)

    def hears(
        self,
        said: str | None,
        *more: str,
        to: str = "User@Example.org",
        by: str = "backend",
        **fields: Any,  # noqa: ANN401
    ) -> None:
        """Hear of a message to somebody, and to others who got the replies `more`."""
        others: list[dict[str, str | None]] = [
            {"to": f"other{n}@example.org", "reply": one, "by": "backend"} for n, one in enumerate(more)
        ]
        recipients: list[dict[str, str | None]] = [{"to": to, "reply": said, "by": by}, *others]
        usual = {
            "client": "192.0.2.1",
            "sender": "a@sender.example",
            "recipients": recipients,
            "recipients_total": len(recipients),
            "recipients_accepted": sum((one["reply"] or "").startswith("2") for one in recipients),
            "by": "backend",
            "reply": None,
        }
        self.source.hear(usual | fields)

    def end(self, ending: dict[str, Any]) -> None:
        """Hear of a message to the user alone, taken at RCPT, and how it ended."""
        one = {"to": "user@example.org", "reply": "250 2.1.5 OK", "by": "backend"}
        usual = {"client": "192.0.2.1", "sender": "a@sender.example", "recipients": [one], "recipients_total": 1}
        self.source.hear({**usual, "recipients_accepted": 1, **ending})

    @property
    def missing(self) -> bool:
        """Whether the user is taken to be unknown."""
        opinion = self.source.at_hand(USER)
        assert opinion in (None, Known(MISSING))
        return opinion is not None


@pytest.mark.parametrize("reply", [NO_SUCH_USER, "550 5.1.10 RESOLVER.ADR.RecipientNotFound", "553 5.1.1"])
def test_no_such_user_is_learned_at_once(reply: str) -> None:
    stage = Stage()
    assert not stage.missing
    stage.hears(reply)
    assert stage.missing


@pytest.mark.parametrize(
    "reply",
    [
        "550 5.7.1 not allowed", "450 4.1.1 try later", "550 5.1.11 x", "550 5.1.8 bad sender", "451 5.1.1 what",
        "552 mailbox full", "554 no", "550 5.1 x", "550", None,
    ],
)  # fmt: skip
def test_what_teaches_nothing(reply: str | None) -> None:
    stage = Stage()
    stage.hears(reply)
    assert not stage.missing


@pytest.mark.parametrize("fields", [{"by": "recipients"}, {"to": "user@example.com"}, {"to": "<>"}])
def test_only_the_backend_teaches_and_only_of_its_domains(fields: dict[str, str]) -> None:
    stage = Stage()
    stage.hears(NO_SUCH_USER, **fields)
    assert stage.source.about() == {"entries": 0}


class TestAtTheEndOfData:
    def test_one_recipient(self) -> None:
        stage = Stage()
        stage.hears("250 2.1.5 OK", reply=NO_SUCH_USER, answer_time=0.1)
        assert stage.missing

    @pytest.mark.parametrize(
        "fields",
        [
            {"reply": "550 5.7.1 spam"},
            {"reply": "450 4.1.1 later"},
            {"by": "dkim"},
            {"recipients_total": 2},
            {"answer_time": None},  # it was the reply to DATA
        ],
    )
    def test_what_teaches_nothing(self, fields: dict[str, Any]) -> None:
        stage = Stage()
        usual = {"reply": NO_SUCH_USER, "answer_time": 0.1, "by": "backend"}
        stage.end({key: value for key, value in (usual | fields).items() if value is not None})
        assert not stage.missing

    def test_with_several_recipients_it_may_mean_any_of_them(self) -> None:
        stage = Stage()
        stage.hears("250 2.1.5 OK", "250 2.1.5 OK", reply=NO_SUCH_USER, answer_time=0.1)
        assert not stage.missing
        assert stage.source.about() == {"entries": 0}


class TestWithoutEnhancedCodes:
    def test_two_senders_from_two_networks(self) -> None:
        stage = Stage()
        stage.hears("550 unknown user")
        stage.hears("550 unknown user")
        assert not stage.missing
        stage.hears("550 unknown user", sender="b@sender.example", client="192.0.2.200")
        assert not stage.missing  # one network
        stage.hears("550 unknown user", client="198.51.100.1")
        assert stage.missing

    def test_one_sender_in_two_networks_is_one(self) -> None:
        """It may be the sender that the backend does not like."""
        stage = Stage()
        for client in ("192.0.2.1", "198.51.100.1", "2001:db8::1"):
            stage.hears("550 go away", client=client)
        assert not stage.missing
        stage.hears("550 go away", client="no address", sender="b@sender.example")
        assert not stage.missing


class TestForgetting:
    def test_an_hour_at_most_and_hearing_it_again_does_not_prolong_it(self) -> None:
        stage = Stage()
        stage.hears(NO_SUCH_USER)
        stage.now += 599
        stage.hears(NO_SUCH_USER)
        before = stage.missing
        stage.now += 1
        assert (before, stage.missing) == (True, False)
        assert LearnedSettings("x").lives <= 3600

    def test_a_clock_that_was_set_back(self) -> None:
        stage = Stage()
        stage.hears(NO_SUCH_USER)
        stage.now -= 1
        assert not stage.missing

    def test_any_acceptance_withdraws_it(self) -> None:
        stage = Stage()
        stage.hears(NO_SUCH_USER)
        stage.hears("250 2.1.5 OK", "250 2.1.5 OK")
        assert not stage.missing

    async def test_by_hand(self) -> None:
        stage = Stage()
        stage.hears(NO_SUCH_USER)
        assert stage.source.forget(USER)
        assert not stage.source.forget(USER)
        stage.hears(NO_SUCH_USER)
        assert await stage.source.refresh() == "forgot 1 addresses"
        assert not stage.missing

    def test_many_push_the_oldest_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(learned, "MOST", 2)
        stage = Stage()
        for name in ("user", "b", "c"):
            stage.hears(NO_SUCH_USER, to=f"{name}@example.org")
        assert stage.source.about() == {"entries": 2}
        assert not stage.missing
