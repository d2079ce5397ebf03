"""Rules of the house that a reader can rely on, checked on the source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "thinkling"
SOURCES = sorted(PACKAGE.rglob("*.py"))
EVERYTHING = [path for room in ("src", "tests", "benchmarks") for path in sorted((ROOT / room).rglob("*.py"))]

GLOBAL_RANDOMNESS = {
    "torch.manual_seed",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
    "torch.random.manual_seed",
    "np.random.seed",
    "numpy.random.seed",
    "random.seed",
    "torch.set_rng_state",
}
MAY_SET_GLOBAL = {"train_state.py"}
"""A resume puts the global generator back to where it was."""
DRAWS_FROM_GLOBAL = re.compile(
    r"^(np|numpy)\.random\.(?!default_rng|Generator|RandomState|Philox|PCG64|SeedSequence|BitGenerator)\w+$"
)
"""np.random.rand and its like draw from hidden state; a Generator is explicit."""

each_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_fits_in_a_head(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc"}


@each_source
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(tree_of(path))


def test_a_room_s_init_holds_its_rule_and_nothing_else() -> None:
    for path in SOURCES:
        if path.name == "__init__.py" and path.parent != PACKAGE:
            assert len(tree_of(path).body) == 1, path


@each_source
def test_every_setting_is_explained(path: Path) -> None:
    """The command line's help is made from these docstrings, so that help and meaning cannot part."""
    for node in ast.walk(tree_of(path)):
        if not (
            isinstance(node, ast.ClassDef)
            and node.name.endswith(("Config", "Arguments", "Settings", "Recipe"))
        ):
            continue
        decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
        if not any("dataclass" in decorator for decorator in decorators):
            continue
        assert any("frozen=True" in d and "kw_only=True" in d for d in decorators), (
            f"{node.name} is not frozen kw_only"
        )
        for field, following in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
            if isinstance(field, ast.AnnAssign) and "ClassVar" not in ast.unparse(field.annotation):
                explained = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
                assert explained, f"{node.name}.{ast.unparse(field.target)} has no docstring"


@each_source
def test_devices_and_names_are_explicit(path: Path) -> None:
    for call, function in calls(tree_of(path)):
        assert not function.endswith(".cuda"), f"line {call.lineno}: .to(device), not .cuda()"
        if function == "getattr" and len(call.args) > 1:
            text = ast.unparse(call.args[0])
            assert text not in {"torch", "np", "nn", "F"}, f"line {call.lineno}: a name looked up in {text}"
        assert function not in {"globals", "eval", "exec"} or path.name == "__init__.py", (
            f"line {call.lineno}"
        )


@each_source
def test_randomness_comes_from_an_explicit_generator(path: Path) -> None:
    for call, function in calls(tree_of(path)):
        allowed = path.name in MAY_SET_GLOBAL or function not in GLOBAL_RANDOMNESS
        assert allowed, f"line {call.lineno}: {function} changes everyone's randomness"
        assert not DRAWS_FROM_GLOBAL.match(function), (
            f"line {call.lineno}: {function} draws from hidden state"
        )


@each_source
def test_weights_never_come_from_a_pickle(path: Path) -> None:
    for call, function in calls(tree_of(path)):
        assert not function.startswith("pickle."), f"line {call.lineno}"
        if function == "torch.load":
            safe = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in call.keywords)
            assert safe, f"line {call.lineno}: torch.load without weights_only=True"
        if function == "np.load":
            pickled = any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in call.keywords)
            assert not pickled, f"line {call.lineno}"


@each_source
def test_the_user_s_mistakes_are_not_asserted(path: Path) -> None:
    """`except Exception: pass` hides bugs; a bare `raise NotImplementedError` is a stub."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: bare except"
        if isinstance(node, ast.Raise) and node.exc is not None:
            assert "NotImplementedError" not in ast.unparse(node.exc), f"line {node.lineno}: a stub"


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_exception_to_a_rule_carries_its_reason(path: Path) -> None:
    """`# type: ignore[code]  # why`, `# noqa: code - why`, `# pragma: no cover - why`."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        for comment in re.findall(r"#\s*(?:type: ignore|noqa|pragma: no cover)(.*)", line):
            reason = re.sub(r"^(\[[\w, -]+\]|: ?[A-Z]+\d+(, ?[A-Z]+\d+)*)", "", comment).strip(" #-–:")
            assert len(reason) >= 5 or 'r"#' in line or '"""' in line, f"{path.name}:{number} gives no reason"


def test_ignores_in_the_settings_carry_their_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for block in re.findall(r"^(?:ignore|filterwarnings|\"tests/\*\*\") = \[\n(.*?)^\]", text, re.M | re.S):
        for line in block.splitlines():
            if line.strip() and line.strip() != '"error",' and not line.strip().startswith("#"):
                assert "#" in line, line
