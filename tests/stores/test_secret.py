"""The secret: made once, read again, and never one that could be guessed."""

from pathlib import Path

import pytest

from smtproxy.stores.keys import private
from smtproxy.stores.secret import SIZE, read_secret, secret_in


def test_it_is_made_once_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = secret_in(path)
    assert secret_in(path) == read_secret(path) == secret
    assert len(secret) == SIZE
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["secret"]
    assert private("a", secret) != private("a", secret_in(tmp_path / "other"))


@pytest.mark.parametrize("text", ["", "short", "x" * 65])
def test_one_that_cannot_be_used_is_not(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secret"
    path.write_text(text)
    with pytest.raises(ValueError, match="octets"):
        secret_in(path)


def test_one_that_cannot_be_made_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        secret_in(tmp_path / "nowhere" / "secret")
