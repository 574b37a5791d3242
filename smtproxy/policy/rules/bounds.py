"""What bounds the time that an expression takes. It protects an administrator from a slip, and from what peers send.

CEL itself ends an expression after 10,000 steps of its loops, and refuses one nested deeper than 32. Here is the rest:
a loop goes over a list that is there, not over one that the expression has made; and a pattern, which RE2 matches in
linear time, is written out and small, as a step of a loop may hold one.
"""

import re
from collections.abc import Sequence
from typing import Final

LONGEST: Final = 2000
"""Characters of an expression: several screens of a terminal are no rule but a program."""
LARGEST_PATTERN: Final = 500
"""Places of all patterns of an expression, repetitions written out. Each costs RE2 up to 30 ns a character of the text
(measured with `(a?){900}b`): 500 of them cost 10 ms on the longest one."""
LARGEST_LOOPED_PATTERN: Final = 50
"""The same where there is a loop, which may run a hundred times over a list of a peer's. Two loops in each other held a
worker for 0.7 s: they go without patterns."""

CATEGORY: Final = 100
"""Places that a category of Unicode counts as: RE2 writes `\\pL` out in 2 ms, each of them, for each match anew."""
_LISTED: Final = 16
"""Characters of a class in brackets that count as one place: written out, too. Honest ones have one or two."""

_RAW = r"""[bB]?[rR][bB]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')"""
_COOKED = r"""[bB]?(?:\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
_TEXT = re.compile(rf"//[^\n]*|(?<!\w){_RAW}|{_COOKED}", re.DOTALL)
_NAMES = re.compile(r"[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)*", re.ASCII)


def in_one_line(expression: str) -> str:
    """Return an expression without comments and line ends, for people."""
    return " ".join(_TEXT.sub(lambda found: " " if found[0].startswith("//") else found[0], expression).split())


def without_texts(expression: str) -> tuple[str, list[str]]:
    """Return an expression without comments and with `"N"` in the place of its Nth text, and these texts as written."""
    texts: list[str] = []

    def replaced(found: re.Match[str]) -> str:
        if found[0].startswith("//"):
            return " "
        texts.append(found[0])
        return f'"{len(texts) - 1}"'

    return _TEXT.sub(replaced, expression), texts


def names(bare: str) -> frozenset[str]:
    """Return the names in an expression without texts, with what stands behind their dots: `spf.result`, `matches`."""
    return frozenset("".join(name.split()) for name in _NAMES.findall(bare))


_LOOP = re.compile(r"\.\s*(?:all|exists|exists_one|existsOne)\s*\(")
_PLAIN_LOOP = re.compile(
    r"(?:(?<![\w.)\]}\"])(?<!\.\s)[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)*?"
    r"|(?<![\w)\]}\"])(?<![\w)\]}\"]\s)\[[\s\d.,\"-]*\])\s*" + _LOOP.pattern,
    re.ASCII,
)
_MATCHES = re.compile(r"\bmatches\s*\(")
_PLAIN_MATCHES = re.compile(r'\.\s*matches\s*\(\s*"(\d+)"\s*\)')


def loops(bare: str) -> tuple[int, int]:
    """Return how many loops an expression has, and how many of them go over what is there."""
    return len(_LOOP.findall(bare)), len(_PLAIN_LOOP.findall(bare))


def patterns(bare: str, texts: Sequence[str]) -> tuple[int, list[str]]:
    """Return how many patterns an expression matches, and those of them that are written out, in their quotes."""
    return len(_MATCHES.findall(bare)), [texts[int(number)] for number in _PLAIN_MATCHES.findall(bare)]


_PLACES = re.compile(r"\\[pP](?:\{[^}]*\}|.)|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(\d+)(?:,(\d*))?\}|.", re.DOTALL)


def pattern_size(pattern: str) -> int:
    """Return the places of a pattern with its counted repetitions written out: `(ab{3}){2}` has 8.

    What takes as long as many places counts as many.
    """
    levels, last = [0], 0
    for found in _PLACES.finditer(pattern):
        if found[0] == "(":
            levels.append(0)
        elif found[0] == ")" and len(levels) > 1:
            last = levels.pop()
            levels[-1] += last
        elif found[1]:
            times = max(int(found[1]), int(found[2] or 0), 1)
            levels[-1] += last * (times - 1)
            last *= times
        else:
            categories = sum(one in "pP" for one in _ESCAPES.findall(found[0]))
            last = CATEGORY * categories or max(1, len(found[0]) // _LISTED)
            levels[-1] += last
    return sum(levels)


_ESCAPES = re.compile(r"\\(.)", re.DOTALL)


def as_matched(written: str) -> str | None:
    """Return the pattern that a text is; None: what it has cannot be seen, as escapes of CEL's stand for it."""
    prefix = written[: written.index(written[-1])].lower()
    pattern = written[len(prefix) :].strip(written[-1])
    if "r" in prefix:
        return pattern
    if any(one in "xXuU01234567" for one in _ESCAPES.findall(pattern)):
        return None
    return _ESCAPES.sub(lambda found: found[1] if found[1] in "\\\"'`?" else found[0], pattern)


def too_much(expression: str) -> str:
    """Say what of an expression has no bound, or a too high one; empty: nothing."""
    if len(expression) > LONGEST:
        return f"has more than {LONGEST} characters: make several rules of it"
    bare, texts = without_texts(expression)
    all_loops, plain_loops = loops(bare)
    if all_loops != plain_loops:
        return 'a loop (all, exists, exists_one) goes over a list by its name, or over one as written: ["a", "b"]'
    matched, written = patterns(bare, texts)
    if matched != len(written):
        return 'a pattern is written out, as in hello.matches("^[a-z]+$"): it never comes from a peer'
    if written and all_loops > 1:
        return "a pattern can stand in an expression with one loop, not in one with several: make several rules of it"
    seen = [as_matched(one) for one in written]
    if None in seen:
        return 'write a pattern as r"...", in which \\x, \\u and octal numbers are RE2\'s'
    most = LARGEST_LOOPED_PATTERN if all_loops else LARGEST_PATTERN
    if sum(pattern_size(one or "") for one in seen) > most:
        where = " with a loop" if all_loops else ""
        return (
            f"patterns too large: an expression{where} may have {most} places in them, repetitions written out, "
            f"of which \\p counts as {CATEGORY}"
        )
    return ""
