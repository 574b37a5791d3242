"""x"""
from trio.testing import MockClock
from smtproxy.session.records import Event
from tests.network.stage import stage


async def test_a_mail(mock_clock: MockClock) -> None:
    async with stage() as here:
        assert (await here.mail()).code == 250
        assert here.outcomes() == ["delivered"]
        assert here.endings() == ["quit"]
        print(here.journal.lines)
