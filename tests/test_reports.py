"""A run folder as one HTML page."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import ase.io
import pytest
from ase.build import bulk

from mlip_lammps.cli.main import build_parser, find_subcommands, main
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.workflows import write_report
from mlip_lammps.workflows.reports import citations, page
from mlip_lammps.workflows.reports.citations import bibtex, methods_of
from mlip_lammps.workflows.run_folder import RunFolder

RUN_COMMANDS = {module.NAME for module in find_subcommands() if "add_run" in Path(module.__file__).read_text()}


class Reader(HTMLParser):
    """Collects elements, references to other files, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.references, self.scripts, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        self.references += [values[key] for key in ("src", "href") if key in values]
        if tag == "script":
            self.open.append(values)
            self.scripts.append("")

    def handle_data(self, data):
        if self.open:
            self.scripts[-1] += data

    def handle_endtag(self, tag):
        if tag == "script":
            self.open.pop()


@pytest.fixture
def report(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    ase.io.write("si.extxyz", bulk("Si", a=5.45))
    assert main(["elastic", "silicon-pbe", "si.extxyz"]) == 0
    assert main(["report", "out/elastic"]) == 0
    return Path("out/elastic/report.html").read_text()


def test_the_page_contains_everything_and_needs_no_other_file(report):
    reader = Reader(report)
    assert len(reader.scripts) == 3
    assert all(reference.startswith("data:image/png;base64,") for reference in reader.references)
    assert reader.tags.count("img") == 1
    (structure,) = json.loads(reader.scripts[1])
    assert structure["xyz"].startswith("2\n\nSi ")
    assert len(structure["edges"]) == 12
    for text in ("shear modulus hill (GPa)", "Fd-3m (227)", "silicon-pbe", "0.005", "University of Pittsburgh"):
        assert text in report
    assert "Hill" in report
    assert "float64 precision" in report


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_browser_draws_the_structure(report):
    options = ["--headless=new", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"]
    options.append("--virtual-time-budget=9000")
    page_file = Path("out/elastic/report.html").resolve().as_uri()
    shown = subprocess.run(
        ["chromium", *options, "--dump-dom", page_file], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    viewer = shown[shown.index('id="viewer0"') :]
    assert "<canvas" in viewer[: viewer.index("</figure>")]


def test_averages_are_shown_with_the_digits_of_their_errors():
    results = {"density": {"mean": 0.99734, "error": 0.0123}, "drift": {"mean": 2.0, "error": None}}
    shown = page._value(results)
    assert "<td>0.997 ± 0.012</td>" in shown
    assert "<td>2</td>" in shown


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_scripts_are_valid_javascript(report, tmp_path):
    for number, script in enumerate(Reader(report).scripts):
        if number != 1:
            file = tmp_path / f"{number}.js"
            file.write_text(script)
            subprocess.run(["node", "--check", file], check=True, timeout=60)


def test_text_of_a_run_is_escaped(tmp_path):
    with RunFolder(tmp_path, "relax", {"model": "<script>alert(1)</script>", "optimizer": "<b>", "cell": "free",
                                       "force_tolerance": 0.1}) as folder:  # fmt: skip
        folder.write_results({"<i>": "</script>"})
    text = write_report(tmp_path).read_text()
    assert "<script>alert" not in text
    assert "<b>" not in text
    assert "<i>" not in text


def test_results_become_tables():
    text = page._value({"energy": -1.25, "stable": True, "curve": list(range(50)), "matrix": [[1.0, 2.0], [3.0, 4.0]],
                        "rows": [{"name": "a", "x": 1.0}, {"name": "b", "x": None}]})  # fmt: skip
    assert "<td>-1.25</td>" in text
    assert "<td>yes</td>" in text
    assert "50 values from 0 to 49" in text
    assert text.count("<tr>") == 3 + 2 + 3


def test_every_command_with_a_run_folder_has_a_methods_paragraph_with_its_references():
    assert set(citations._METHODS) == RUN_COMMANDS
    for command in RUN_COMMANDS:
        settings = vars(build_parser().parse_args([command, "silicon-pbe"]))
        facts = {"silicon-pbe": {"family": "mace"}} if "models" in settings else {"family": "mace"}
        text, keys = methods_of({"command": command, "settings": settings, "model": facts})
        assert set(re.findall(r"\[(\w+)\]", text)) == set(keys)
        assert bibtex(keys).count("@") == len(keys)
        assert "{" not in text


def methods(words: str) -> str:
    settings = vars(build_parser().parse_args(words.split()))
    text, keys = methods_of({"command": words.split()[0], "settings": settings})
    assert set(re.findall(r"\[(\w+)\]", text)) == set(keys)
    assert bibtex(keys).count("@") == len(keys)
    return text


@pytest.mark.parametrize(
    ("words", "said", "unsaid"),
    [
        ("relax m", "with the optimizer lbfgs of ASE", "GPa"),
        ("relax m --engine lammps", "in a fixed cell with min_style cg of LAMMPS [lammps]", "optimizer"),
        ("relax m --cell free --pressure 5", "relaxed in a free cell at 5 GPa", "fixed"),
        ("relax m --cell free --mask 1 1 0 0 0 1", "Only the strains xx, yy, xy changed", "GPa"),
        ("relax m --keep-symmetry", "keeping their space group", "GPa"),
        ("eos m --relax-shape", "the atoms and the shape of the cell were relaxed", "used as given"),
        ("elastic m --no-relax", "Atoms and cell were used as given.", "until"),
        ("elastic m --layer", "in-plane elastic tensor of the layer", "[hill]"),
        ("phonons m --qha --no-relax", "quasi-harmonic approximation with Vinet's equation [vinet]", "until"),
        ("phonons m --anharmonic", "on 11 11 11 q-points with phono3py [phono3py]", "quasi-harmonic"),
        ("phonons m --anharmonic --snapshots 40", "fitted to 40 random snapshots, in the relaxation", "quasi-harmonic"),
        ("phonons m --spectrum-temperature 300", "at 300 K were obtained from 50 ps", "conductivity"),
        ("slab m --no-relax --fix 2", "The lowest 2 repeat units were fixed; the energy", "with its cell"),
        ("adsorb m --adsorbate O --gas O2 --free-slab", "and O2 in the gas", "part of the slab was fixed"),
        ("vibrations m --kind harmonic --no-relax", "K is harmonic as implemented", "ideal gas"),
        ("neb m --no-climb --no-relax", "The ends were used as given", "climb"),
        ("neb m", "climbing-image nudged elastic band method [cineb]", "used as given"),
        ("formation m --no-relax", "Crystals were used as given.", "relaxed"),
        ("compare a:b lammps:sw:Si.sw", "pair styles lammps:sw:Si.sw were run with LAMMPS [lammps]", "[mace]"),
        ("screen m --committee n", "standard deviation of the relative energies", "used as given"),
    ],
)
def test_the_methods_paragraph_says_what_the_options_did(words, said, unsaid):
    text = methods(words)
    assert said in text
    assert unsaid not in text


def test_a_damaged_record_or_result_is_refused(tmp_path):
    with RunFolder(tmp_path, "relax", {"model": "m", "cell": "free"}) as folder:
        folder.write_results({})
    with pytest.raises(UserInputError, match="has no valid optimizer: it is damaged or of another version"):
        write_report(tmp_path)
    record = json.loads((tmp_path / "run.json").read_text())
    for damage in ({"command": "walk"}, {"settings": []}, {"settings": {"optimizer": []}}, {"started": "now"},
                   {"inputs": {"model": 3}}, {"model": None}):  # fmt: skip
        (tmp_path / "run.json").write_text(json.dumps({**record, **damage}))
        with pytest.raises(UserInputError, match="the record of"):
            write_report(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({**record, "settings": {"optimizer": "bfgs", "cell": "free",
                                                                          "force_tolerance": 0.1}}))  # fmt: skip
    write_report(tmp_path)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(UserInputError, match=r"results.json is damaged .*; repeat the run"):
        write_report(tmp_path)


def test_a_run_without_results_is_refused_with_the_command_that_repeats_it(tmp_path):
    with RunFolder(tmp_path, "relax", {}):
        pass
    with pytest.raises(UserInputError, match=r"no results.json: the run is finished; repeat it with mlip-lammps relax"):
        write_report(tmp_path)
    with pytest.raises(UserInputError, match=r"has no run.json"):
        write_report(tmp_path / "nowhere")


@pytest.mark.parametrize("family", ["mace", "nequip", "sevennet"])
def test_the_methods_cite_the_architecture_of_the_model(family):
    settings = {"no_relax": True, "engine": "ase", "mask": (), "cell": "fixed"}
    text, keys = methods_of({"command": "relax", "settings": settings, "model": {"family": family}})
    assert f"[{family}] model" in text
    assert keys[0] == family
    assert f"{{{family}," in bibtex(keys)
