"""The house in numbers: sizes, arrows between rooms, circles, untyped places. `make figures` prints it.

A room is a folder of v2a_core or workflows; a module in v2a_core's root is a room of its own. Arrows are the imports of
the code, those inside of functions included; what is imported for the type checker alone is none. `LAYERS` is the one
place that says which way they may point: `tests/test_architecture.py` fails when the code does not follow it.

    python benchmarks/figures.py [ROOT]
"""

from __future__ import annotations

import ast
import functools
import io
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# From low to high. An arrow may go down or sideways, never up.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("v2a_core.config", "v2a_core.version", "v2a_core.registry", "v2a_core.protocols"),
    ("v2a_core.compute",),
    ("v2a_core.storage",),
    ("v2a_core.media",),
    ("v2a_core.catalog", "v2a_core.tables", "v2a_core.models", "v2a_core.pages"),
    (
        *("v2a_core.encoders", "v2a_core.captioners", "v2a_core.mappers", "v2a_core.generators", "v2a_core.metrics"),
        "v2a_core.outputs",
    ),
    ("v2a_core.timing",),
    ("v2a_core.stages",),
    (
        *("v2a_core.training", "v2a_core.interpolation", "v2a_core.report", "v2a_core.listening"),
        "v2a_core.reproduction",
        *("v2a_core.inspection", "v2a_core.verification", "v2a_core.miniature", "v2a_core.single_video", "v2a_core"),
    ),
    ("workflows.cluster_runtime", "workflows.command", "workflows"),
    ("workflows.costing",),
    ("workflows.streaming", "workflows.training"),
    (
        *("workflows.embed", "workflows.train", "workflows.train_timing", "workflows.train_adapter"),
        "workflows.generate",
        *("workflows.evaluate", "workflows.interpolate", "workflows.page", "workflows.listening"),
    ),
    ("workflows.demo", "workflows.plan", "workflows.reproduce"),
    ("workflows.cli",),
)
# Components of one kind are exchanged without a look at those of another: nothing points from one to another.
KINDS = frozenset(f"v2a_core.{kind}" for kind in ("encoders", "captioners", "mappers", "generators", "metrics"))
ROOT_MODULES = frozenset({"config", "protocols", "registry", "single_video", "version"})
PACKAGES = ("v2a_core", "workflows")
LINE_OF = {room: line for line, rooms in enumerate(LAYERS) for room in rooms}
LONG, TOO_LONG = 40, 60


@dataclass(frozen=True)
class Arrow:
    """An import.

    Attributes:
        importer: The module that imports, with dots.
        imported: The module that it imports.
        line: Where.
    """

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        """`a.b:12 -> c.d`."""
        return f"{self.importer}:{self.line} -> {self.imported}"


@dataclass(frozen=True)
class Function:
    """A function or method and its length in lines, docstring included."""

    place: str
    lines: int


@dataclass(frozen=True)
class Module:
    """A file of Python.

    Attributes:
        name: With dots; a package has its own name.
        path: Its file.
        source: Its text.
    """

    name: str
    path: Path
    source: str

    @functools.cached_property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return _parsed(self.source)

    @property
    def is_package(self) -> bool:
        """Whether it is the `__init__` of a folder."""
        return self.path.name == "__init__.py"


class House:
    """The modules below a checkout's root.

    Args:
        root: The folder that holds v2a_core and workflows.
    """

    def __init__(self, root: Path) -> None:
        files = sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))
        self.root = root
        self.modules: Mapping[str, Module] = {module.name: module for module in (_read(path, root) for path in files)}

    @functools.cached_property
    def arrows(self) -> list[Arrow]:
        """Every import of one of our modules by another, type checking left out."""
        found = [
            Arrow(module.name, target, line)
            for module in self.modules.values()
            for imported, line in _imports(module)
            if (target := _existing(imported, self.modules)) and target != module.name
        ]
        return sorted(set(found), key=lambda arrow: (arrow.importer, arrow.line, arrow.imported))

    @functools.cached_property
    def room_arrows(self) -> set[tuple[str, str]]:
        """The arrows between rooms."""
        pairs = {(room_of(arrow.importer), room_of(arrow.imported)) for arrow in self.arrows}
        return {(importer, imported) for importer, imported in pairs if importer != imported}

    @property
    def rooms(self) -> list[str]:
        """All rooms, in order."""
        return sorted({room_of(name) for name in self.modules})

    def unknown_rooms(self) -> list[str]:
        """Rooms that no line of `LAYERS` has."""
        return [room for room in self.rooms if room not in LINE_OF]

    def upward(self) -> list[Arrow]:
        """The arrows that point to a higher line, or from one kind of component to another."""
        return [arrow for arrow in self.arrows if _is_wrong(room_of(arrow.importer), room_of(arrow.imported))]

    def circles_of_modules(self) -> list[list[str]]:
        """Modules that reach each other through imports, a list a circle."""
        return circles({(arrow.importer, arrow.imported) for arrow in self.arrows})

    def circles_of_rooms(self) -> list[list[str]]:
        """Rooms that reach each other through imports, a list a circle."""
        return circles(self.room_arrows)

    def misplaced(self) -> list[str]:
        """Modules in v2a_core's root that do not belong there."""
        return sorted(set(self.root_modules()) - ROOT_MODULES)

    def root_modules(self) -> list[str]:
        """The modules in v2a_core's root but its `__init__`."""
        return sorted(path.stem for path in (self.root / "v2a_core").glob("*.py") if path.stem != "__init__")

    def silent_packages(self) -> list[str]:
        """Packages whose `__init__` has no docstring."""
        return [
            module.name for module in self.modules.values() if module.is_package and not ast.get_docstring(module.tree)
        ]

    def functions(self, longer_than: int) -> list[Function]:
        """The functions of more lines than that, the longest first."""
        found = [
            Function(f"{module.path.relative_to(self.root)}:{node.lineno} {node.name}", _length(node))
            for module in self.modules.values()
            for node in ast.walk(module.tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _length(node) > longer_than
        ]
        return sorted(found, key=lambda function: (-function.lines, function.place))

    @property
    def lines(self) -> int:
        """Lines of Python."""
        return sum(len(module.source.splitlines()) for module in self.modules.values())

    def count_any(self) -> int:
        """How often `Any` is written, imports of the name left out."""
        return sum(_count_any(module.tree) for module in self.modules.values())

    def count_any_dictionaries(self) -> int:
        """How often `dict[str, Any]` is written."""
        return sum(len(re.findall(r"\bdict\[str, Any\]", module.source)) for module in self.modules.values())

    def count_comments(self, pattern: str) -> int:
        """How many comments match a regular expression."""
        return sum(bool(re.search(pattern, told)) for module in self.modules.values() for told in _comments(module))


def room_of(module: str) -> str:
    """The room of a module: its folder; what starts a program belongs to the command line."""
    if module.endswith(".__main__"):
        return "workflows.cli"
    return ".".join(module.split(".")[:2])


def circles(arrows: set[tuple[str, str]]) -> list[list[str]]:
    """The sets of two and more nodes that all reach each other, each in order."""
    after: dict[str, set[str]] = {}
    for start, end in arrows:
        after.setdefault(start, set()).add(end)
    reached = {start: _reachable(start, after) for start in after}
    found = {
        tuple(sorted(other for other in ends if start in reached.get(other, ())))
        for start, ends in reached.items()
        if start in ends
    }
    return sorted(list(circle) for circle in found)


def _reachable(start: str, after: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        new = after.get(waiting.pop(), set()) - seen
        seen |= new
        waiting.extend(new)
    return seen


def _is_wrong(importer: str, imported: str) -> bool:
    if importer != imported and {importer, imported} <= KINDS:
        return True
    return LINE_OF.get(importer, 0) < LINE_OF.get(imported, 0)


_parsed = functools.cache(ast.parse)  # a tree that differs in one file is drawn anew in a moment


def _read(path: Path, root: Path) -> Module:
    parts = path.relative_to(root).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, path, path.read_text(encoding="utf-8"))


def _imports(module: Module) -> Iterator[tuple[tuple[str, ...], int]]:
    """What a module imports: the names to look for, the longest first, and the line."""
    for node in _running(module.tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield (name.name,), node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = _base(module, node)
            for name in node.names:
                yield (f"{base}.{name.name}", base), node.lineno


def _base(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module.name.split(".") if module.is_package else module.name.split(".")[:-1]
    kept = package[: len(package) - node.level + 1]
    return ".".join([*kept, *([node.module] if node.module else [])])


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below one but those that only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield other
                yield from _running(other)
            continue
        yield child
        yield from _running(child)


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _count_any(tree: ast.Module) -> int:
    written = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            written += node.id == "Any"
        elif isinstance(node, ast.Attribute):
            written += node.attr == "Any" and isinstance(node.value, ast.Name) and node.value.id == "typing"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("cast") and node.args:
            quoted = node.args[0]
            written += len(re.findall(r"\bAny\b", str(quoted.value))) if isinstance(quoted, ast.Constant) else 0
    return written


def _comments(module: Module) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(module.source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def _existing(names: tuple[str, ...], modules: Mapping[str, Module]) -> str | None:
    return next((name for name in names if name in modules), None)


def table(house: House) -> list[tuple[str, str, str]]:
    """The figures: what, how many, what is wanted."""
    lines, written = house.lines, house.count_any()
    return [
        ("lines of Python", f"{lines:,}", ""),
        ("modules", f"{len(house.modules)}", ""),
        ("modules in v2a_core's root", f"{len(house.root_modules())}", "<= 5"),
        ("rooms", f"{len(house.rooms)}", ""),
        ("arrows between rooms", f"{len(house.room_arrows)}", ""),
        ("circles between rooms", f"{len(house.circles_of_rooms())}", "0"),
        ("circles between modules", f"{len(house.circles_of_modules())}", "0"),
        ("arrows upward", f"{len(house.upward())}", "0"),
        ("packages without a docstring", f"{len(house.silent_packages())}", "0"),
        (f"functions of more than {TOO_LONG} lines", f"{len(house.functions(TOO_LONG))}", "0"),
        (f"functions of more than {LONG} lines", f"{len(house.functions(LONG))}", "<= 5"),
        ("Any", f"{written}", ""),
        ("Any per 100 lines", f"{100 * written / max(1, lines):.2f}", "<= 1"),
        ("dict[str, Any]", f"{house.count_any_dictionaries()}", ""),
        ("noqa", f"{house.count_comments(r'#.*noqa')}", ""),
        ("type: ignore", f"{house.count_comments(r'#.*type: *ignore')}", ""),
    ]


def details(house: House) -> Iterator[str]:
    """A line for everything that is not as it is wanted."""
    yield from (f"circle of rooms: {' <-> '.join(circle)}" for circle in house.circles_of_rooms())
    yield from (f"circle of modules: {' <-> '.join(circle)}" for circle in house.circles_of_modules())
    yield from (f"upward: {arrow}" for arrow in house.upward())
    yield from (f"in v2a_core's root: {name}" for name in house.misplaced())
    yield from (f"room without a line in LAYERS: {room}" for room in house.unknown_rooms())
    yield from (f"package without a docstring: {name}" for name in house.silent_packages())
    yield from (f"{function.lines} lines: {function.place}" for function in house.functions(LONG))


def main() -> None:
    """Print the figures, then what is not as it is wanted."""
    house = House(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1])
    for what, number, wanted in table(house):
        print(f"{what:<34}{number:>8}  {wanted}".rstrip())
    for line in details(house):
        print(line)


if __name__ == "__main__":
    main()
