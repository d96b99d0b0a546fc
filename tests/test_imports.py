"""Holds ARCHITECTURE.md section 3 and the house style by reading the source, without running it.

Here: which room may import which, who may import PEFT, file and function length, exported names, docstrings, options that
nobody reads. Not here: what ruff and mypy hold already.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "hfmeta"

MAY_IMPORT = {
    "inner": set(),
    "episodes": {"inner.errors"},
    "corpora": {"episodes", "inner.errors"},
    "metrics": {"inner.errors"},
    "reporting": {"inner.errors", "metrics"},
    "adapters": {"inner", "models.private_mlp"},
    "models": {"inner"},
    "algorithms": {"inner", "models", "adapters"},
    "publishing": {"inner", "models", "adapters", "algorithms", "episodes", "corpora.licences", "reporting"},
    "learner": {"inner", "models", "adapters", "algorithms", "episodes", "publishing"},
    "config": {"inner"},
    "responses": {"inner", "episodes", "learner", "metrics"},
    "phases": {"inner", "adapters", "episodes", "learner"},
    "finite": {"inner", "learner"},
    "averaging": {"inner", "learner"},
    "trainer": {
        "inner",
        "models",
        "adapters",
        "algorithms",
        "episodes",
        "publishing",
        "metrics",
        "learner",
        "config",
        "phases",
        "finite",
        "averaging",
    },
    "baselines": {"inner", "models", "adapters", "algorithms", "episodes", "metrics", "learner"},
    "reinforcement": {"inner"},
    "testing": {"inner", "models", "adapters", "algorithms", "episodes", "learner"},
}
"""Each room and what it may import from hfmeta besides itself; rooms not named (recipe, cli) stand on all the others."""

TOP_ROOMS = {
    "recipe": {"cli", "testing", "comparison"},
    "comparison": {"cli", "testing"},
    "cli": {"testing"},
    "__main__": set(),
    "__init__": {"cli"},
}
"""Rooms on top, and what even they must not import."""

MAY_IMPORT_PEFT = {"adapters", "publishing", "testing"}
ALGORITHM_FILES = {"maml", "anil", "meta_sgd", "maml_plus_plus", "cmaml"}
MAX_LINES, MAX_FUNCTION_LINES = 350, 60


@dataclass(frozen=True)
class Source:
    """One file: its dotted name inside hfmeta (`inner.loop`), its room, its syntax tree and its text."""

    name: str
    path: Path
    tree: ast.Module
    text: str

    @property
    def room(self) -> str:
        return self.name.split(".")[0]

    def __str__(self) -> str:
        return self.name


@cache
def sources() -> list[Source]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        text = path.read_text(encoding="utf-8")
        found.append(Source(name, path, ast.parse(text, str(path)), text))
    return found


def imports(source: Source) -> Iterator[tuple[str, int]]:
    """Every imported module or name in dotted form with its line, also inside functions, but not for type checkers alone."""
    typing_only = {
        id(inner)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(source.tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source.path}:{node.lineno}: relative import; write the full name"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


def own_imports(source: Source) -> Iterator[tuple[str, int]]:
    """The imports from hfmeta itself, without the leading `hfmeta.`."""
    for name, line in imports(source):
        if name == "hfmeta" or name.startswith("hfmeta."):
            yield name.removeprefix("hfmeta").removeprefix("."), line


def forbidden_imports(source: Source) -> list[str]:
    """The lines of a file that break the direction of dependencies."""
    problems = []
    for name, line in own_imports(source):
        room = name.split(".")[0]
        if room == source.room:
            continue
        if source.room in MAY_IMPORT:
            allowed = any(name == entry or name.startswith(entry + ".") for entry in MAY_IMPORT[source.room])
        else:
            allowed = room not in TOP_ROOMS[source.room]
        if not allowed:
            problems.append(f"{source.path}:{line}: {source.room} must not import hfmeta.{name}")
    return problems


@pytest.fixture(params=sources(), ids=str)
def source(request) -> Source:
    return request.param


def test_every_room_has_a_rule():
    rooms = {source.room for source in sources()}
    assert {"inner", "models", "algorithms", "episodes", "learner"} <= rooms
    assert rooms <= MAY_IMPORT.keys() | TOP_ROOMS.keys(), "give the new room a line in MAY_IMPORT"


def test_dependency_direction(source):
    assert not forbidden_imports(source)


@pytest.mark.parametrize(
    ("name", "line", "complaint"),
    [
        ("inner.loop", "from hfmeta.learner import MetaLearner", "inner must not import hfmeta.learner.MetaLearner"),
        ("episodes.x", "import hfmeta.algorithms", "episodes must not import hfmeta.algorithms"),
        ("metrics.x", "def f():\n    from hfmeta.trainer import MetaTrainer", "metrics must not import"),
        ("episodes.x", "from hfmeta.inner.loop import inner_loop", "episodes must not import hfmeta.inner.loop"),
        ("recipe.x", "from hfmeta.cli import app", "recipe must not import hfmeta.cli.app"),
    ],
)
def test_a_wrong_import_is_seen(name, line, complaint):
    (problem,) = forbidden_imports(Source(name, Path("made_up.py"), ast.parse(line), line))
    assert complaint in problem


def test_the_inner_loop_needs_torch_alone():
    allowed = {"torch", "hfmeta", "__future__"} | sys.stdlib_module_names
    for source in sources():
        if source.room == "inner":
            foreign = [
                f"{source.path}:{line}: {name}" for name, line in imports(source) if name.split(".")[0] not in allowed
            ]
            assert not foreign


def test_few_rooms_know_peft(source):
    lines = [line for name, line in imports(source) if name.split(".")[0] == "peft"]
    if source.room not in MAY_IMPORT_PEFT:
        assert not lines, f"{source.path}:{lines[0]}: only {', '.join(sorted(MAY_IMPORT_PEFT))} may import peft"


def test_algorithms_are_found_by_name_and_not_imported():
    for source in sources():
        if source.name in ("algorithms", "__init__") or source.name.split(".")[-1] in ALGORITHM_FILES:
            continue
        for name, line in own_imports(source):
            parts = name.split(".")
            assert not (parts[0] == "algorithms" and len(parts) > 1 and parts[1] in ALGORITHM_FILES), (
                f"{source.path}:{line}: look {parts[1]} up with find_algorithm, or take it from hfmeta.algorithms"
            )


def test_no_algorithm_imports_another():
    for source in sources():
        name = source.name.split(".")[-1]
        if source.room == "algorithms" and name in ALGORITHM_FILES:
            used = {module.split(".")[1] for module, _ in own_imports(source) if module.startswith("algorithms.")}
            assert used <= {"base"}, f"{source.path} imports {used}: an algorithm stands on base alone"


def test_files_and_functions_are_short(source):
    lines = source.text.count("\n")
    assert lines <= MAX_LINES, f"{source.path} has {lines} lines: make it two rooms"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert length <= MAX_FUNCTION_LINES, f"{source.path}:{node.lineno}: {node.name} has {length} lines"


def test_everything_public_is_documented(source):
    assert ast.get_docstring(source.tree), f"{source.path}: say first what lives here"
    holders: list[ast.Module | ast.ClassDef] = [source.tree]
    holders += [node for node in source.tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    bare = []
    for holder in holders:
        for node in holder.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                overloaded = any(
                    isinstance(d, ast.Name) and d.id == "overload" for d in getattr(node, "decorator_list", [])
                )
                protocol = isinstance(holder, ast.ClassDef) and any(
                    getattr(b, "id", "") == "Protocol" for b in holder.bases
                )
                if not (ast.get_docstring(node) or overloaded or protocol):
                    bare.append(f"{source.path}:{node.lineno}: {node.name}")
    assert not bare


def exported(source: Source) -> list[str] | None:
    """The names in `__all__`, None where there is none."""
    for node in source.tree.body:
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "__all__" for target in node.targets):
            return list(ast.literal_eval(node.value))
    return None


def test_packages_export_by_hand(source):
    names = exported(source)
    if source.path.name == "__init__.py":
        assert names is not None, f"{source.path} has no __all__"
    for name in names or []:
        assert name == "__version__" or not name.startswith("_"), f"{source.path} exports the private name {name}"
    assert len(set(names or [])) == len(names or []), f"{source.path} lists a name twice"


def test_nobody_takes_another_files_private_names(source):
    taken = [
        f"{source.path}:{line}: {name}" for name, line in own_imports(source) if name.split(".")[-1].startswith("_")
    ]
    assert not taken


def test_every_option_of_an_algorithm_is_read_somewhere():
    read: set[str] = set()
    for source in sources():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef) and node.name == "__post_init__":
                for inner in ast.walk(node):
                    inner.checked_only = True  # type: ignore[attr-defined]
            if isinstance(node, ast.Attribute) and not hasattr(node, "checked_only") and isinstance(node.ctx, ast.Load):
                read.add(node.attr)
    options = []
    for source in sources():
        if source.room != "algorithms":
            continue
        for node in source.tree.body:
            if isinstance(node, ast.ClassDef) and (
                node.name == "Algorithm" or any(getattr(b, "id", "") == "Algorithm" for b in node.bases)
            ):
                options += [
                    f.target.id for f in node.body if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name)
                ]
    assert "inner_lr" in options
    assert "rates" in options
    dead = sorted(set(options) - read)
    assert not dead, f"options that nobody reads: {dead}"
