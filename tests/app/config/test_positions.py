"""Lines of settings, in every spelling TOML has for a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.app.config.positions import Positions

TEXT = """# [[listeners]] in a comment
[server]
hostname = "x"
text = "[[listeners]]"
# [[listeners]]


[[listeners]]
name = "a"
bind = [
  "1",
  "2",
]

  [[ listeners ]]

[[listeners]]
tls = { certificate = "c", key = "k" }
[backends.exchange]
servers.x = 3
"a b".c = 4
[[listeners.inner]]
z = 1
"""


@pytest.mark.parametrize(
    ("location", "line"),
    [
        ((), 1),
        (("missing",), 1),
        (("server",), 2),
        (("server", "hostname"), 3),
        (("server", "missing"), 2),
        (("server", "hostname", "deeper"), 3),
        (("listeners", 0, "name"), 9),
        (("listeners", 0, "bind"), 10),
        (("listeners", 0, "bind", 1), 12),
        (("listeners", 0, "bind", 7), 10),
        (("listeners", 0, 3), 8),
        (("listeners", 1), 15),
        (("listeners", 1, "missing"), 15),
        (("listeners", 2, "tls", "key"), 18),
        (("listeners", 2, "inner", 0, "z"), 23),
        (("backends", "exchange"), 19),
        (("backends", "exchange", "servers", "x"), 20),
        (("backends", "exchange", "a b", "c"), 21),
    ],
)
def test_lines(location: tuple[str | int, ...], line: int) -> None:
    assert Positions(TEXT).line(location) == line
    assert Positions(TEXT.replace("\n", "\r\n")).line(location) == line


def test_text_that_is_no_toml() -> None:
    assert Positions("= = =").line(("server",)) == 1


@given(st.lists(st.sampled_from(["server", "listeners", "backends", "name", 0, 1, 5, -1]), max_size=5))
def test_never_fails(location: list[str | int]) -> None:
    assert 1 <= Positions(TEXT).line(location) <= TEXT.count("\n") + 1
