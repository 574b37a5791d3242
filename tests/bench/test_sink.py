"""The counting backend of the benchmark: it must count right, however the network cuts what it is sent."""

from bench.sink import EHLO, Counts, Dialogue, answer

SESSION = b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n..\r\n.\r\nDATA\r\n.\r\nQUIT\r\n"
OK = b"250 2.0.0 ok\r\n"
REPLIES = (
    EHLO + OK + OK + b"354 go ahead\r\n250 2.0.0 taken\r\n" + b"354 go ahead\r\n250 2.0.0 taken\r\n221 2.0.0 bye\r\n"
)


def _dialogue(pieces: list[bytes]) -> tuple[bytes, Counts]:
    counts = Counts(connections=1, bare=1)
    dialogue = Dialogue()
    said = b""
    for number, piece in enumerate(pieces):
        dialogue.unread += piece
        replies, stay = answer(dialogue, counts)
        said += replies
        assert stay == (number < len(pieces) - 1)
    return said, counts


def test_a_session_is_answered_whole_and_octet_by_octet() -> None:
    assert _dialogue([SESSION]) == (REPLIES, Counts(1, 0, 1))
    assert _dialogue([bytes([octet]) for octet in SESSION]) == (REPLIES, Counts(1, 0, 1))


def test_a_probe_counts_as_bare() -> None:
    assert _dialogue([b"EHLO a\r\n", b"QUIT\r\n"]) == (EHLO + b"221 2.0.0 bye\r\n", Counts(1, 1))


def test_who_asks_for_the_counts_is_not_counted() -> None:
    counts = Counts(connections=5, bare=2)
    dialogue = Dialogue(unread=b"XCOUNT\r\n")
    assert answer(dialogue, counts) == (b"250 4 1 0\r\n", True)
