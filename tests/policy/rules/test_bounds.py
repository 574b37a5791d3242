"""What bounds an expression: loops over what is there, patterns written out and small, texts told from code."""

import pytest

from smtproxy.policy.rules.bounds import (
    LARGEST_LOOPED_PATTERN,
    LARGEST_PATTERN,
    LONGEST,
    as_matched,
    in_one_line,
    names,
    pattern_size,
    too_much,
    without_texts,
)


@pytest.mark.parametrize(
    "expression",
    [
        "true",
        'reverse_name.names.exists(n, n == "a")',
        "a . b\n.\nexists ( n, true)",
        '["a", "b"].all(d, d != hello)',
        "[1, -2, 3.5].exists_one(n, n > size)",
        'l.listed.exists(l, l.answers.exists(a, a == "127.0.0.2"))',
        'x && !names.all(n, n == "")',
        '"[hello].exists(" == hello',
        "// [hello].exists(\ntrue",
        r"r'\' != hello && names.exists(n, true)",
        "hello.matches('^a$') || sender . matches ( r'b' )",
        f"hello.matches('a{{{LARGEST_PATTERN}}}')",
    ],
)
def test_bounded(expression: str) -> None:
    assert too_much(expression) == ""


@pytest.mark.parametrize(
    "expression",
    [
        "[hello].exists(h, true)",
        "[[1, 1]].exists(h, true)",
        '["a", hello].exists(h, true)',
        "(names).exists(n, true)",
        "names[0].exists(n, true)",
        "names [0].exists(n, true)",
        "{1: 2}.all(n, true)",
        "f(x).y.exists(n, true)",
        "f(x) . y.exists(n, true)",
        "(a ? b : c) // x\n.exists(n, true)",
        "[hello].exists(h, names.exists(n, true))",
    ],
)
def test_a_loop_over_what_the_expression_made(expression: str) -> None:
    """Each could double what the loop around it made: 30 of them in each other, and there is no end."""
    assert too_much(expression).startswith("a loop")


@pytest.mark.parametrize("expression", ["hello.matches(sender)", "matches(hello, 'a')", "hello.matches('a' + 'b')"])
def test_a_pattern_from_a_peer(expression: str) -> None:
    assert too_much(expression).startswith("a pattern is written out")


@pytest.mark.parametrize(
    "expression",
    [
        f"hello.matches('a{{{LARGEST_PATTERN + 1}}}')",
        "hello.matches('((a{10}){10}){10}')",
        " || ".join(["hello.matches('[a-z]{300}')"] * 2),
        f"names.exists(n, n.matches('a{{{LARGEST_LOOPED_PATTERN + 1}}}'))",
        r"hello.matches(r'\pL{6}')",
        r"hello.matches('\\p{Greek}{6}')",
        r"hello.matches(r'([^\d\PL]?){6}b')",
        r"names.exists(n, n.matches(r'\pL'))",
        f"hello.matches('[{''.join(chr(0x4E00 + 3 * number) for number in range(600))}]{{20}}')",
    ],
)
def test_patterns_too_large(expression: str) -> None:
    assert too_much(expression).startswith("patterns too large")


def test_no_pattern_in_two_loops() -> None:
    """Ten thousand matches of a peer's texts held a worker for 0.7 s."""
    assert too_much("a.all(x, b.all(y, y.matches('z')))").startswith(
        "a pattern can stand in an expression with one loop"
    )
    assert too_much("a.all(x, b.all(y, y == 'z'))") == ""


def test_the_longest_expression() -> None:
    assert too_much("true".ljust(LONGEST)) == ""
    assert "more than 2000 characters" in too_much("true".ljust(LONGEST + 1))


@pytest.mark.parametrize(
    ("pattern", "places"),
    [
        ("", 0),
        ("abc", 3),
        ("(ab{3}){2}", 8),
        (r"\.\d[a-z\]]", 3),
        ("[]a]x", 2),
        ("a{2,5}", 5),
        ("a{7,}", 7),
        ("a{0}b", 2),
        ("((a{10}){10}){10}", 1000),
        ("a)b(", 3),
        (r"\pL", 100),
        (r"\p{Greek}{2}x", 201),
        (r"[a-z\PL\pN]", 200),
        (r"[a-zA-Z0-9._-]{3}", 3),
        ("[abcdefghijklmnopqrstuvwxyz0123456789]", 2),
        (r"\\pL", 3),
    ],
)
def test_places_of_a_pattern(pattern: str, places: int) -> None:
    assert pattern_size(pattern) == places


@pytest.mark.parametrize(
    ("written", "pattern"),
    [
        ('"a"', "a"),
        (r"r'\d'", r"\d"),
        (r"'\\d\\\\'", r"\d\\"),
        (r'"""\"a\n"""', '"a\\n'),
        (r"'\x5cpL'", None),
        (r"'a\u007b600}'", None),
        (r"'\134pL'", None),
        (r"'\\x41'", r"\x41"),
        (r"R'\x41'", r"\x41"),
    ],
)
def test_a_pattern_as_it_is_matched(written: str, pattern: str | None) -> None:
    assert as_matched(written) == pattern
    said = too_much(f"hello.matches({written})")
    assert said.startswith("write a pattern as r") if pattern is None else said == ""


def test_texts_are_told_from_code() -> None:
    expression = '''a == "x\\"y" && b == 'z' // "no text"
 && c == r"\\" && d == """e"f""" && e == br'g' '''
    bare, texts = without_texts(expression)
    assert texts == ['"x\\"y"', "'z'", 'r"\\"', '"""e"f"""', "br'g'"]
    assert " ".join(bare.split()) == 'a == "0" && b == "1" && c == "2" && d == "3" && e == "4"'


def test_names_with_what_is_behind_their_dots() -> None:
    assert names("spf . result == x && known.spf && f(y)") == {"spf.result", "x", "known.spf", "f", "y"}


def test_one_line_for_people() -> None:
    assert in_one_line('a == "//" // why\n  && b') == 'a == "//" && b'
