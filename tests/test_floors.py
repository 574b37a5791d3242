"""The architecture as a test: imports go down only, no module imports itself in a circle, the three lower floors are
pure, and each module has its test file. Reads the source by `ast`; must never import (and thereby run) what it judges.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "smtproxy"

FLOORS = {
    "wire": 1,
    "session": 2,
    "policy": 3,
    "network": 4,
    "stores": 4,
    "sample": 4,
    "lookups": 5,
    "scanners": 5,
    "app": 6,
    "__main__": 6,
}

PURE = ("wire", "session", "policy")

# What reads a clock, waits, logs, draws lots or touches the world outside: none of it below the network floor.
IMPURE_IMPORTS = frozenset({
    "asyncio", "dns", "logging", "multiprocessing", "os", "pathlib", "queue", "random", "secrets", "select",
    "selectors", "signal", "socket", "ssl", "structlog", "subprocess", "sys", "tempfile", "threading", "time", "trio",
    "trio_asyncio", "uuid",
})  # fmt: skip
IMPURE_CALLS = frozenset({"open", "print", "input", "breakpoint"})

# Modules without a test file of their own. May only shrink: an entry that has a test by now, or is gone, fails.
WITHOUT_TEST: frozenset[str] = frozenset()


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def root_of(name: str) -> str:
    return name.partition(".")[0]


SOURCES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8"), str(path)) for name, path in SOURCES.items()}
PURE_MODULES = [name for name in SOURCES if name.split(".")[1:2] and name.split(".")[1] in PURE]


def imports(name: str, tree: ast.Module, known: frozenset[str] = frozenset(SOURCES)) -> Iterator[tuple[int, str]]:
    """Line and full name of each import of a module, wherever in it; `from package import module` names the module."""
    package = name if SOURCES.get(name, Path()).name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                yield from ((node.lineno, alias.name) for alias in aliases)
            case ast.ImportFrom(module=module, names=aliases, level=level):
                above = ".".join(package.split(".")[: len(package.split(".")) - level + 1]) if level else ""
                origin = ".".join(part for part in (above, module) if part)
                for alias in aliases:
                    inner = f"{origin}.{alias.name}"
                    yield node.lineno, inner if inner in known else origin


def may_import(importer: str, imported: str) -> bool:
    """Own package, or a lower floor; everybody may import the package's root, which holds the version alone."""
    if imported == "smtproxy":
        return True
    here, there = importer.split(".")[1], imported.split(".")[1]
    return here == there or FLOORS[there] < FLOORS[here] or (here, there) == ("__main__", "app")


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """One cycle of the graph, or an empty list."""
    done: set[str] = set()
    trail: list[str] = []

    def walk(name: str) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name not in done:
            trail.append(name)
            for after in sorted(graph.get(name, ())):
                if found := walk(after):
                    return found
            trail.pop()
            done.add(name)
        return []

    for name in sorted(graph):
        if found := walk(name):
            return found
    return []


def impurities(name: str, tree: ast.Module) -> list[str]:
    found = [f"line {line}: imports {what}" for line, what in imports(name, tree) if root_of(what) in IMPURE_IMPORTS]
    for node in ast.walk(tree):
        match node:
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                found.append(f"line {node.lineno}: {type(node).__name__}")
            case ast.comprehension(is_async=1):
                found.append(f"line {node.target.lineno}: asynchronous comprehension")
            case ast.Call(func=ast.Name(id=called)) if called in IMPURE_CALLS:
                found.append(f"line {node.lineno}: calls {called}()")
            case _:
                pass
    return found


def test_every_module_stands_on_a_floor() -> None:
    assert "smtproxy" in SOURCES
    assert {name.split(".")[1] for name in SOURCES if "." in name} <= FLOORS.keys()


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "smtproxy"])
def test_imports_go_down_only(name: str) -> None:
    wrong = [
        f"line {line}: {what}"
        for line, what in imports(name, TREES[name])
        if root_of(what) == "smtproxy" and not may_import(name, what)
    ]
    assert wrong == []


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        name: {what for _, what in imports(name, tree) if what in SOURCES and what != name}
        for name, tree in TREES.items()
    }
    assert cycle(graph) == []


@pytest.mark.parametrize("name", PURE_MODULES)
def test_lower_floors_are_pure(name: str) -> None:
    assert impurities(name, TREES[name]) == []


def where_the_test_belongs(name: str) -> Path:
    """Where a module's test belongs: smtproxy/wire/paths.py -> tests/wire/test_paths.py."""
    *folders, last = name.split(".")[1:]
    return ROOT.joinpath("tests", *folders, f"test_{last}.py")


# Packages hold a docstring and at most names to pass on; __main__ is one line that starts the command line.
TESTED = [name for name, path in SOURCES.items() if path.name not in ("__init__.py", "__main__.py")]


@pytest.mark.parametrize("name", TESTED)
def test_every_module_has_its_test_file(name: str) -> None:
    path = where_the_test_belongs(name)
    assert path.exists() != (name in WITHOUT_TEST), f"{path} is missing, or the list of exceptions names it in vain"


def test_exceptions_only_shrink() -> None:
    assert set(TESTED) >= WITHOUT_TEST


def test_packages_hold_no_code() -> None:
    """Code in an __init__.py would run behind the back of whoever imports a module beside it, and has no test file."""
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Expr)
    for name, path in SOURCES.items():
        if path.name == "__init__.py":
            assert [type(node).__name__ for node in TREES[name].body if not isinstance(node, allowed)] == [], name


class TestTheTestItself:
    """A test of the architecture that finds nothing is worth nothing."""

    @pytest.mark.parametrize(
        ("importer", "imported", "allowed"),
        [
            ("smtproxy.session.relay", "smtproxy.wire.lines", True),
            ("smtproxy.wire.lines", "smtproxy.wire.errors", True),
            ("smtproxy.wire.lines", "smtproxy.session.relay", False),
            ("smtproxy.session.relay", "smtproxy.policy.fold", False),
            ("smtproxy.network.driver", "smtproxy.lookups.dns", False),
            ("smtproxy.network.driver", "smtproxy.app.log", False),
            ("smtproxy.app.server", "smtproxy.network.driver", True),
            ("smtproxy.wire.lines", "smtproxy", True),
        ],
    )
    def test_floors(self, importer: str, imported: str, allowed: bool) -> None:
        assert may_import(importer, imported) is allowed

    def test_relative_and_nested_imports_are_seen(self) -> None:
        tree = ast.parse("from . import b\nfrom ..session import relay\ndef f():\n    import smtproxy.app.log\n")
        known = frozenset({"smtproxy.wire.b", "smtproxy.session.relay"})
        assert list(imports("smtproxy.wire.a", tree, known)) == [
            (1, "smtproxy.wire.b"),
            (2, "smtproxy.session.relay"),
            (4, "smtproxy.app.log"),
        ]

    def test_cycle_is_found(self) -> None:
        assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
        assert cycle({"a": {"b", "c"}, "b": {"c"}}) == []

    @pytest.mark.parametrize(
        "source",
        [
            "import time",
            "from random import choice",
            "def f():\n    import trio.lowlevel",
            "async def f(): pass",
            "async def f(x):\n    return [y async for y in x]",
            "open('x')",
        ],
    )
    def test_impurities_are_found(self, source: str) -> None:
        assert impurities("smtproxy.wire.a", ast.parse(source)) != []

    def test_pure_source_is_pure(self) -> None:
        assert impurities("smtproxy.wire.a", ast.parse("import re\ndef f(x):\n    return re.escape(x)\n")) == []
