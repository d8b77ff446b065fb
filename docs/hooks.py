"""MkDocs hook: pages link to files of the repository, and the site gets a copy of each file that is linked.

The pair style's reference page, the model cards and the changelog stay beside what they describe. A link such as
``../pair_style/pair_mlip_torch.md`` works where the repository is browsed; here it becomes a page of the site.
"""

import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = "docs"
PAGES = {
    "pair_style/pair_mlip_torch.md": "pair_mlip_torch.md",
    "CHANGELOG.md": "changelog.md",
    "training/README.md": "training.md",
    "examples/01_water/README.md": "example_water.md",
    "examples/02_heat_flux/README.md": "example_heat_flux.md",
    "benchmarks/results/gpu_h200.md": "gpu_h200.md",
    "benchmarks/results/scaling.md": "scaling_results.md",
    "examples/11_silicon_pressure/README.md": "example_silicon_pressure.md",
    "examples/12_liquid_surface/README.md": "example_liquid_surface.md",
    "examples/13_fine_tuning/README.md": "example_fine_tuning.md",
    **{f"mlip_lammps/models/{name}/card.md": f"{name}.md" for name in os.listdir(ROOT / "mlip_lammps/models")},
}
"""Markdown files outside of ``docs`` and the pages that they become."""
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside of ``docs``, and every other file that a page links to."""
    for source, uri in PAGES.items():
        if (ROOT / source).is_file():
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
    for page in list(files.documentation_pages()):
        for match in LINK.finditer(Path(page.abs_src_path).read_text(encoding="utf-8")):
            target = _in_repository(page, match[2])
            uri = target and _site_uri(target)
            if uri and (ROOT / target).is_file() and files.get_file_from_path(uri) is None:
                files.append(File.generated(config, uri, abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links between files of the repository to the pages and files of the site."""

    def rewritten(match: re.Match) -> str:
        target = _in_repository(page.file, match[2])
        if target is None:
            return match[0]
        uri = os.path.relpath(_site_uri(target), PurePosixPath(page.file.src_uri).parent)
        return f"{match[1]}{uri}{match[3] or ''}{match[4]}"

    return LINK.sub(rewritten, markdown)


def _in_repository(page: File, link: str) -> str | None:
    """Return the path below the root of the repository that a relative link of a page means; None for other links."""
    if "://" in link or link.startswith(("/", "mailto:")):
        return None
    folder = Path(page.abs_src_path).parent
    path = Path(os.path.normpath(folder / link))
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else None


def _site_uri(path: str) -> str:
    """Return where the site has a file of the repository."""
    if path in PAGES:
        return PAGES[path]
    return path.removeprefix(f"{DOCS}/") if path.startswith(f"{DOCS}/") else f"files/{path}"
