"""The documents: their links, commands, Python code and words. Neither mkdocs nor a network is needed.

Each check is a function that returns what it found wrong in a text, and has a control: a text in which it finds it.
"""

import argparse
import ast
import contextlib
import io
import re
import shlex
import tokenize
import tomllib
from pathlib import Path

import pytest

from mlip_lammps.cli.main import build_parser

REPOSITORY = Path(__file__).parents[1]
README = REPOSITORY / "README.md"
PATTERNS = (
    "*.md",
    "docs/**/*.md",
    "mlip_lammps/models/*/card.md",
    "pair_style/*.md",
    "training/*.md",
    "examples/**/*.md",
)
DOCUMENTS = sorted({file for pattern in PATTERNS for file in REPOSITORY.glob(pattern)})
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(REPOSITORY)))

MOST_README_WORDS = 600
"""Of the prose: code blocks and tables do not count."""
MOST_PICTURE_BYTES = 150_000

BANNED = (
    r"\bread are\b",
    r"\bmust not be used for\b",
    r"\bheld to\b",
    r"\bholds? (?:\w+ ){1,6}to (?:physics|the reference|each other)\b",
    r"\bwants? more digits\b",
    r"\bin silence is worse than\b",
    r"\bgo(?:es)? the same way as\b",
    r"\bmay hold is on a list\b",
    r"\bwhat it makes of\b",
    r"\berr(?:s|ed)?\b",
    r"\bteeth\b",
    r"\btells? (?:\w+ ){1,6}apart\b",
    r"\bin each other's place\b",
    r"\bthat several models teach\b",
    r"\bwhat the processor's vectors are\b",
    r"\btells? of\b",
)
"""House style: wording that has a plain equivalent."""
BANNED_IN_CODE = (
    *BANNED,
    r"\bas of ````",
    r"\bwork(?:s|ed|ing)? out\b",
    r"\bhands? on\b",
    r"\bwhatever\b",
    r"(?<!there )\bis no (?!longer\b|more\b)\w+",
    r"\b(?:can|could|to) mend\b",
    r"\bstands? in (?:each|the place|for)\b",
)
"""Wording that docstrings, comments and messages must not use either."""
NOT_REVISED = (
    "mlip_lammps/cli/_demo.py",
    "mlip_lammps/cli/_demo_settings.py",
    "mlip_lammps/cli/demo.py",
    "mlip_lammps/compilation/cache.py",
    "mlip_lammps/engines/",
    "mlip_lammps/kernels/cpu/",
    "mlip_lammps/kernels/radial_table.py",
    "mlip_lammps/workflows/",
    "pair_style/",
)
"""Files and folders whose wording is not checked."""
SOURCES = sorted(
    file
    for pattern in ("mlip_lammps/**/*.py", "mlip_lammps/**/*.h", "pair_style/**/*.h", "pair_style/**/*.cpp")
    for file in REPOSITORY.glob(pattern)
    if not str(file.relative_to(REPOSITORY)).startswith(NOT_REVISED)
)
PRIVATE = (r"(?<![\w.])/(?:work|root|home|tmp)/", r"\blocalhost\b", r"\b\d+\.\d+\.\d+\.\d+:\d+\b")
"""Paths and hosts of the machine that a text was written on."""

_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_C_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def fenced_blocks(text: str) -> list[tuple[str, str]]:
    """Return language and content of each fenced block."""
    return [(language, content) for _, language, content in _FENCE.findall(text)]


def prose(text: str) -> str:
    """Return a text without fenced blocks and tables."""
    return "\n".join(line for line in _FENCE.sub("", text).splitlines() if not line.startswith("|"))


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub and mkdocs form them."""
    titles = re.findall(r"^#+ +(.+?) *$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def broken_links(text: str, file: Path) -> list[str]:
    """Return the relative links to files or headings that do not exist."""
    broken = []
    for link in _LINK.findall(_INLINE_CODE.sub("", _FENCE.sub("", text))):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (file.parent / name).resolve() if name else file
        is_there = target.is_relative_to(REPOSITORY) and target.is_file()
        if is_there and anchor:
            is_there = anchor in anchors(text if target == file else target.read_text(encoding="utf-8"))
        if not is_there:
            broken.append(link)
    return broken


def shown_commands(text: str) -> list[str]:
    """Return the lines of fenced blocks that call mlip-lammps."""
    lines = [line for _, content in fenced_blocks(text) for line in content.replace("\\\n", " ").splitlines()]
    return [line.strip() for line in lines if line.strip().startswith("mlip-lammps ")]


def wrong_commands(text: str) -> list[str]:
    """Return the shown commands that the parser of mlip-lammps does not accept."""
    parser, wrong = build_parser(), []
    for command in shown_commands(text):
        try:
            with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                parser.parse_args(shlex.split(command, comments=True)[1:])
        except SystemExit as end:
            if end.code:
                wrong.append(command)
    return wrong


def subparsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each subcommand."""
    action = next(a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def unknown_options(text: str) -> list[str]:
    """Return the mentions of mlip-lammps in the running text with a command or an option that does not exist."""
    known, unknown = subparsers(), []
    for mention in re.findall(r"`mlip-lammps ([a-z][^`]*)`", _FENCE.sub("", text)):
        command, *words = mention.split()
        options = {word for word in words if word.startswith("-")}
        if command not in known or not options <= set(known[command]._option_string_actions):
            unknown.append(mention)
    return unknown


def undocumented_options(page: str) -> list[str]:
    """Return the commands and options that the command-line page does not describe."""
    missing = []
    for command, parser in subparsers().items():
        section = re.search(rf"^## {command}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
        described = _FENCE.sub("", section[1]) if section else ""
        options = set(parser._option_string_actions) - {"-h", "--help"}
        words = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", described))
        missing += [command] if section is None else [f"{command} {option}" for option in sorted(options - words)]
    return missing


def wrong_python(text: str) -> list[str]:
    """Return the faults of Python blocks: what does not parse, and imports of the package that do not exist."""
    wrong = []
    for language, content in fenced_blocks(text):
        if language != "python":
            continue
        try:
            tree = ast.parse(content)
        except SyntaxError as error:
            wrong.append(f"{error.msg}: {(error.text or '').strip()}")
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mlip_lammps"):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                wrong += [name for name in names if not exists(name)]
    return wrong


def wrong_references(text: str) -> list[str]:
    """Return the names of a page for mkdocstrings, and the members that it lists, that do not exist."""
    wrong = []
    for name, members in re.findall(r"^::: ([\w.]+)(?:\n +options:\n +members: \[(.*?)\])?", text, re.MULTILINE):
        names = [name, *(f"{name}.{member}" for member in members.split(", ") if member)]
        wrong += [name for name in names if not exists(name)]
    return wrong


def exists(name: str) -> bool:
    """Return whether a dotted name of the package is a module or a name in the source of one; imports nothing."""
    path = REPOSITORY.joinpath(*name.split("."))
    if path.with_suffix(".py").is_file() or (path / "__init__.py").is_file():
        return True
    module, attribute = path.parent, path.name
    sources = [file for file in (module.with_suffix(".py"), module / "__init__.py") if file.is_file()]
    return any(re.search(rf"\b{attribute}\b", file.read_text(encoding="utf-8")) for file in sources)


def found_phrases(text: str, phrases: tuple[str, ...]) -> list[str]:
    """Return the parts of a text that match a pattern, in any case and across lines."""
    joined = " ".join(text.split())
    return [match[0] for phrase in phrases for match in re.finditer(phrase, joined, re.IGNORECASE)]


def banned_words(text: str) -> list[str]:
    """Return the wording that the house style replaces, in the running text and in comments of code."""
    comments = [comment for _, content in fenced_blocks(text) for comment in re.findall(r"# .*", content)]
    return found_phrases("\n".join([_INLINE_CODE.sub("", _FENCE.sub("", text)), *comments]), BANNED)


def source_text(source: str, suffix: str) -> str:
    """Return the comments, docstrings and string literals of Python or C++ source, without inline code."""
    if suffix == ".py":
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
        parts = [token.string for token in tokens if token.type in kinds]
    else:
        parts = _C_TEXT.findall(source)
    parts = [re.sub(r"^(?:#|//|/\*)|\*/$|^[rbf]*\"+|\"+$", "", part) for part in parts]
    return re.sub(r"(?<!`)`[^`\n]+`(?!`)|(?<=``)[a-z_]\w*(?=``)", "", "\n".join(parts))


def test_the_documents_are_found():
    names = {str(file.relative_to(REPOSITORY)) for file in DOCUMENTS}
    assert {"README.md", "CHANGELOG.md", "docs/tutorial.md", "pair_style/pair_mlip_torch.md"} <= names
    assert sum(name.endswith("card.md") for name in names) >= 3


def test_the_readme_is_short():
    assert len(prose(README.read_text(encoding="utf-8")).split()) <= MOST_README_WORDS


def test_prose_is_counted_without_code_and_tables():
    text = "Three short words.\n\n```\nnot these\n```\n\n| nor | these |\n| --- | --- |\n" + "word " * MOST_README_WORDS
    assert len(prose(text).split()) == 3 + MOST_README_WORDS


def test_the_readme_shows_how_to_run_the_tests():
    blocks = fenced_blocks(README.read_text(encoding="utf-8"))
    lines = [line.split("#")[0].strip() for _, block in blocks for line in block.splitlines()]
    assert {"make demo", "make test"} <= set(lines)


def test_pictures_are_small():
    pictures = list(REPOSITORY.glob("docs/images/*"))
    assert pictures
    assert all(picture.stat().st_size < MOST_PICTURE_BYTES for picture in pictures)


def test_the_site_needs_what_the_extra_installs():
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert any(requirement.startswith("mkdocs-material") for requirement in extras["docs"])


@each_document
def test_links_lead_somewhere(document):
    assert broken_links(document.read_text(encoding="utf-8"), document) == []


def test_broken_links_are_found():
    text = "# A title\n[x](no-such-file.md) [y](docs/gpu.md#no-such-heading) [z](#nowhere)\n"
    text += "[good](docs/gpu.md#memory) [here](#a-title) [far](https://example.org)"
    assert broken_links(text, README) == ["no-such-file.md", "docs/gpu.md#no-such-heading", "#nowhere"]


@each_document
def test_shown_commands_are_accepted(document):
    text = document.read_text(encoding="utf-8")
    assert wrong_commands(text) == []
    assert unknown_options(text) == []


def test_wrong_commands_are_found():
    wrong = ["mlip-lammps export my.model", "mlip-lammps verify my.model --rank-list 1", "mlip-lammps fly"]
    text = "```\n" + "\n".join([*wrong, "mlip-lammps export my.model -o my.pt2   # a comment"]) + "\n```\n"
    assert wrong_commands(text) == wrong
    assert unknown_options("`mlip-lammps export --fast` and `mlip-lammps fly`") == ["export --fast", "fly"]


def test_every_option_is_on_the_page_of_the_command_line():
    assert undocumented_options((REPOSITORY / "docs/cli.md").read_text(encoding="utf-8")) == []


def test_missing_options_are_found():
    page = (REPOSITORY / "docs/cli.md").read_text(encoding="utf-8")
    assert undocumented_options(page.replace("`--min-distance ANGSTROM`", "")) == ["export --min-distance"]
    assert undocumented_options(page.replace("## box\n", "## boxes\n")) == ["box"]


@each_document
def test_python_code_is_valid(document):
    text = document.read_text(encoding="utf-8")
    assert wrong_python(text) == []
    assert wrong_references(text) == []


def test_wrong_python_is_found():
    assert len(wrong_python("```python\nprint('a'\n```\n")) == 1
    assert wrong_python("```python\nfrom mlip_lammps.core.errors import Nothing, MlipError\n```\n") == [
        "mlip_lammps.core.errors.Nothing"
    ]
    text = "::: mlip_lammps.core.nothing\n\n"
    text += "::: mlip_lammps.core.errors\n    options:\n      members: [MlipError, Nothing]\n"
    assert wrong_references(text) == ["mlip_lammps.core.nothing", "mlip_lammps.core.errors.Nothing"]


@each_document
def test_the_words_are_plain(document):
    text = document.read_text(encoding="utf-8")
    assert banned_words(text) == []
    assert found_phrases(text, PRIVATE) == []


@pytest.mark.parametrize(
    "text",
    [
        "Read are `MACE` and `ScaleShiftMACE`.",
        "each has a card, with what it must not be used for",
        "reference, ASE and LAMMPS held to each other",
        "float64 for what wants more digits",
        "Wrong physics in silence is worse than a stop",
        "it goes the same way as one for a CPU",
        "every name that it may hold is on a list",
        "a table of what it makes of them errs by the same",
        "Its teeth",
        "the cache tells other weights of one origin apart",
        "stress labels that stand in each\nother's place",
        "err in different directions, and the mean of their weights errs less",
        "frames that several models teach",
        "what the processor's vectors are to kernels compiled here",
        "LAMMPS tells of atoms that are closer",
        "`make physics` holds the shipped models to physics",
    ],
)
def test_banned_words_are_found(text):
    assert banned_words(text)


def test_banned_words_in_code_do_not_count():
    assert banned_words("`make mutations` runs the mutation tests.\n\n```\nmake mutations\n```\n") == []
    assert banned_words("```\nmake verify   # reference and ASE held to each other\n```\n") == ["held to"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_the_words_of_the_source_are_plain(source):
    text = source_text(source.read_text(encoding="utf-8"), source.suffix)
    assert found_phrases(text, BANNED_IN_CODE) == []


@pytest.mark.parametrize(
    ("source", "suffix"),
    [
        ('def f():\n    """Reference and LAMMPS held to each other."""\n', ".py"),
        ("x = 1  # the sum errs\n", ".py"),
        ("# stress labels that stand in\n# each other's place\n", ".py"),
        ('raise ValueError(f"{path} is no "\n    f"model of this package")\n', ".py"),
        ('"""As of ``export_model``."""\n', ".py"),
        ("/* LAMMPS tells of\n   atoms */\n", ".h"),
        ("int n;    // worked out again\n", ".cpp"),
        ('error->all(FLERR, "{} is no model", path);\n', ".cpp"),
    ],
)
def test_banned_words_in_source_are_found(source, suffix):
    assert found_phrases(source_text(source, suffix), BANNED_IN_CODE)


def test_code_itself_is_not_checked_for_words():
    assert found_phrases(source_text("err = held_to(err)  # a plain comment\n", ".py"), BANNED_IN_CODE) == []
    assert found_phrases(source_text("int err = 0;    // a plain comment\n", ".cpp"), BANNED_IN_CODE) == []
    assert found_phrases(source_text('"""Call ``err`` or `err`."""\n', ".py"), BANNED_IN_CODE) == []


def test_the_list_of_files_that_are_not_revised_names_files():
    assert all((REPOSITORY / name).exists() for name in NOT_REVISED)


def test_paths_of_a_machine_are_found():
    assert found_phrases("see /work/main/README.md", PRIVATE)
    assert found_phrases("see inputs/work/main and https://example.org/home", PRIVATE) == []


def test_every_card_lists_limitations():
    cards = [file for file in DOCUMENTS if file.name == "card.md"]
    assert all("limitations" in anchors(card.read_text(encoding="utf-8")) for card in cards)
    assert "limitations" not in anchors("# A card\n## Data\n")
