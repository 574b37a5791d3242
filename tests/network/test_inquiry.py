"""What a lookup is."""

from smtproxy.network.inquiry import Inquiry, Lookup
from smtproxy.policy.evidence import Fact, Known
from smtproxy.policy.facts import REVERSE_NAME, ReverseName


async def reverse_name(inquiry: Inquiry) -> Fact[ReverseName]:
    return Known(ReverseName((inquiry.client,)))


def test_a_lookup_names_the_fact_it_learns() -> None:
    made = Lookup(REVERSE_NAME, reverse_name)
    assert made.key is REVERSE_NAME
    assert made.quick
