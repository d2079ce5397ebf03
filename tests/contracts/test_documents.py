"""Documents that cannot outlive the code: README's commands parse, the glossary's names exist."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from thinkling.cli import main as frame

ROOT = Path(__file__).resolve().parents[2]


def readme_commands() -> list[str]:
    """Every `thinkling …` line in README's bash blocks, without comments, line ends joined."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = "\n".join(re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S)).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if re.match(r"\s*(torchrun .*-m )?thinkling\s", line)]


@pytest.mark.parametrize("command", readme_commands(), ids=lambda command: " ".join(command.split()[:3]))
def test_a_command_in_the_readme_parses(command: str) -> None:
    words = shlex.split(command, comments=True)
    words = words[words.index("thinkling") + 1 :]
    words = words[: next((place for place, word in enumerate(words) if word in {"|", ">", "&&"}), len(words))]
    if words not in (["--help"], ["--version"]):
        frame.parse(words)


def test_the_readme_has_commands_for_the_main_jobs() -> None:
    used = {shlex.split(command)[1] for command in readme_commands() if command.startswith("thinkling")}
    assert {"data", "train", "eval", "solve"} <= used


def test_make_targets_named_in_documents_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for document in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\bmake (\w+)`", (ROOT / document).read_text(encoding="utf-8")):
            assert re.search(rf"^{target}:", makefile, re.M), f"{document} names `make {target}`"


def test_every_direct_dependency_is_pinned_for_make() -> None:
    """`make demo` installs the same versions everywhere; `pip install thinkling` allows a range."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = set(re.findall(r"^([\w-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M))
    extras = project["optional-dependencies"]
    (own,) = (wanted for wanted in extras["dev"] if wanted.startswith("thinkling["))
    others = [wanted for name in own[len("thinkling[") : -1].split(",") for wanted in extras[name]]
    for wanted in [*project["dependencies"], *extras["dev"], *others]:
        if wanted == own:
            continue
        assert re.match(r"[\w-]+", wanted)[0] in pins, wanted  # type: ignore[index]  # a requirement has a name
        assert "==" not in wanted.partition(";")[0], wanted


def test_links_between_documents_lead_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def glossary_rows() -> list[tuple[str, str]]:
    """(name in the code, file) of each row of the glossary's tables."""
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("| "))]
        if line.startswith("|") and len(cells) >= 3 and cells[2].startswith("`"):
            for name in re.findall(r"`([^`]+)`", cells[1]):
                rows.append((name, cells[2].strip("`")))
    return rows


def test_the_glossary_has_rows() -> None:
    assert len(glossary_rows()) >= 30


@pytest.mark.parametrize(("name", "file"), glossary_rows())
def test_the_glossary_names_what_exists(name: str, file: str) -> None:
    path = ROOT / "src" / "thinkling" / file
    assert path.is_file(), f"{file} does not exist"
    assert re.search(rf"\b{re.escape(name)}\b", path.read_text(encoding="utf-8")), (
        f"{file} does not contain {name}"
    )
