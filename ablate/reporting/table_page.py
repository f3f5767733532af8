"""A page of tables and figures that is no study's report, in every format: Markdown, HTML, LaTeX and CSV."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from ablate.reporting import latex, renderers
from ablate.reporting.escaping import markdown
from ablate.reporting.formats import FORMATS
from ablate.reporting.named_table import NamedTable
from ablate.reporting.page.inline_svg import inline_svg
from ablate.reporting.tables import left_columns


@dataclass(frozen=True, eq=False)
class TablePage:
    """What the page says, from top to bottom."""

    title: str
    lead: str
    """A paragraph below the title."""
    warnings: tuple[str, ...]
    """What a reader has to know before the numbers."""
    tables: tuple[NamedTable, ...]
    """None of them empty; `figures` of a table name those that stand below it."""
    figures: Mapping[str, bytes] = field(default_factory=dict)
    """`<name>.svg` for pages and `<name>.pdf` for papers -> content."""
    figure_captions: Mapping[str, str] = field(default_factory=dict)
    possible: tuple[str, ...] = ()
    """Names of all tables and figures that such a page may have: leftovers of an earlier one are removed."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from (Text(f"warning: {warning}", style="yellow") for warning in self.warnings)
        for table in self.tables:
            yield renderers.to_terminal(table.text, options.max_width, table.title)
            yield Text(table.caption, style="dim")
            yield Text()


def write_page(page: TablePage, folder: Path, formats: Collection[str] = FORMATS) -> tuple[Path, ...]:
    """Write `report.html`, `report.md`, `tables/<name>.{csv,md,tex}` and the figures; the files, sorted.

    Each file is moved to its place when it is whole. Tables and figures of an earlier page that this one does not have
    are removed, in the formats asked for; other files in the folder are left alone. Raises OSError.
    """
    files = _files(page, formats)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.new")
        scratch.write_bytes(content)
        scratch.replace(path)
    former = {f"tables/{name}.{kind}" for name in page.possible for kind in ("csv", "md", "tex") if kind in formats}
    former |= {f"figures/{name}{kind}" for name in page.possible for kind in _kinds(formats)}
    for name in former - files.keys():
        (folder / name).unlink(missing_ok=True)
    return tuple(sorted(folder / name for name in files))


def _kinds(formats: Collection[str]) -> set[str]:
    """Forms of figures: Markdown links to one, and LaTeX includes the other."""
    return {kind for name, kind in (("md", ".svg"), ("tex", ".pdf")) if name in formats}


def _files(page: TablePage, formats: Collection[str]) -> dict[str, bytes]:
    """Relative path -> content."""
    kinds = _kinds(formats)
    drawn = {name: content for name, content in page.figures.items() if Path(name).suffix in kinds}
    files = {f"figures/{name}": content for name, content in drawn.items()}
    texts: dict[str, str] = {}
    for table in page.tables:
        if "csv" in formats:
            texts[f"tables/{table.name}.csv"] = renderers.to_csv(table.numbers)
        if "md" in formats:
            texts[f"tables/{table.name}.md"] = (
                f"{renderers.to_markdown(table.text).rstrip()}\n\n{markdown(table.caption)}\n"
            )
        if "tex" in formats:
            texts[f"tables/{table.name}.tex"] = latex.named_tex(table, page.title)
    if "md" in formats:
        texts["report.md"] = to_markdown(page)
    if "html" in formats:
        texts["report.html"] = to_html(page)
    return files | {name: text.encode("utf-8", errors="replace") for name, text in texts.items()}


def to_markdown(page: TablePage) -> str:
    """The page for a repository; figures by relative links."""
    parts = [f"# {markdown(page.title)}", markdown(page.lead)]
    parts += [f"> **Warning.** {markdown(warning)}" for warning in page.warnings]
    for table in page.tables:
        parts += [f"## {markdown(table.title)}", renderers.to_markdown(table.text).rstrip(), markdown(table.caption)]
        for name in table.figures:
            if f"{name}.svg" in page.figures:
                parts += [f"![{name}](figures/{name}.svg)", markdown(page.figure_captions.get(name, ""))]
    return "\n\n".join(part for part in parts if part) + "\n"


def to_html(page: TablePage) -> str:
    """The page as one file that asks for nothing else and has no script; every text in it is escaped."""
    folder = resources.files("ablate.reporting") / "templates"
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # The style is written in this package, and marked as safe for that reason alone.
    style = Markup((folder / "report.css").read_text(encoding="utf-8"))  # noqa: S704
    return environment.from_string((folder / "across.html.j2").read_text(encoding="utf-8")).render(
        page=page,
        style=style,
        left={table.name: left_columns(table.text) for table in page.tables},
        rows={table.name: list(table.text.itertuples(index=False, name=None)) for table in page.tables},
        drawings={
            name.removesuffix(".svg"): inline_svg(content, name.removesuffix(".svg"))
            for name, content in page.figures.items()
            if name.endswith(".svg")
        },
    )
