"""Where nothing is kept, nothing is known."""

from smtproxy.policy.remembering import Forgetful


def test_who_forgets_knows_nothing() -> None:
    kept = Forgetful()
    kept.add("delivered", "192.0.2.1", 60.0, 5.0)
    kept.put("entry", "192.0.2.1", "block", 60.0)
    kept.fetch("delivered", "192.0.2.1", 60.0)
    assert kept.count("delivered", "192.0.2.1", 60.0) == 0
    assert not kept.marked("entry", "192.0.2.1")
    assert kept.look([("entry", "192.0.2.1")], [("delivered", "192.0.2.1", 60.0)]) == ([None], [0.0])
