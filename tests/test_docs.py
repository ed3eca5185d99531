"""The papers against the code: every option and every check id, with the words that the code has for it."""

from __future__ import annotations

import dataclasses
import re

import pytest
from docutils.core import publish_doctree

from django_sqla_pool import options
from django_sqla_pool.checks import CHECKS
from django_sqla_pool.options import PoolOptions
from tests.support.aliases import ROOT

DESCRIBED = {key: (default, meaning) for key, default, meaning in options.describe()}
SENTENCES = {field.name.upper(): field.metadata["bounds"].doc for field in dataclasses.fields(PoolOptions)}


def plain(markup):
    """The words of reStructuredText without its markup and line breaks; one kind of quotes."""
    return " ".join(markup.replace("``", "").replace("'", '"').split())


def rows(text):
    """The rows of all list-tables, as lists of cells; a cell is a bullet one level below the row's."""
    found = []
    for row in re.split(r"^ *\* (?=- )", text, flags=re.MULTILINE)[1:]:
        row = re.split(r"\n(?=\S)|\n *\n", row)[0]  # the table ends where the indentation does, or at an empty line
        found.append([plain(cell) for cell in re.split(r"^ *- ", row, flags=re.MULTILINE)[1:]])
    return found


def sections(name):
    """{heading: text below it} of a file."""
    parts = re.split(r"^(\S.*)\n(?:-{3,}|={3,}|~{3,})\n", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


PAPERS = [path.relative_to(ROOT) for path in sorted([*ROOT.glob("*.rst"), *ROOT.glob("docs/**/*.rst")])]


@pytest.mark.parametrize("path", PAPERS, ids=str)
def test_every_paper_can_be_read(path):
    # What docutils can't read, a malformed table say, it leaves out, and says so in its place.
    settings = {"report_level": 2, "halt_level": 2, "syntax_highlight": "none"}
    assert publish_doctree((ROOT / path).read_text(encoding="utf-8"), str(path), settings_overrides=settings).children


TABLES = {"README.rst": "Options", "docs/options.rst": "The options"}  # in which section each file has its table


def options_table(name):
    """The rows that begin with an option, or with what looks like one: {key: the other cells}."""
    found = [row for row in rows(sections(name)[TABLES[name]]) if re.fullmatch(r"[A-Z_]+", row[0])]
    assert len({row[0] for row in found}) == len(found), "an option stands there twice"
    return {row[0]: row[1:] for row in found}


# -------------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize("name", TABLES)
def test_the_table_has_every_option_and_no_other(name):
    assert list(options_table(name)) == list(DESCRIBED)


@pytest.mark.parametrize("key", DESCRIBED)
@pytest.mark.parametrize("name", TABLES)
def test_the_table_says_of_an_option_what_the_code_says(name, key):
    default, meaning, *_ = options_table(name)[key]
    assert default == plain(repr(DESCRIBED[key][0]))
    assert meaning == plain(SENTENCES[key])


@pytest.mark.parametrize("key", DESCRIBED)
def test_the_reference_says_what_an_option_accepts(key):
    *_, accepts = options_table("docs/options.rst")[key]
    assert plain(DESCRIBED[key][1]) == f"{plain(SENTENCES[key])} Accepts: {accepts}."


def test_the_reader_of_tables_reads_cells_of_several_lines():
    table = ".. list-table::\n\n   * - Option\n     - Default\n   * - ``A_B``\n     - ``-5``\n     - One\n       two.\n\nAfter.\n"
    assert rows(table) == [["Option", "Default"], ["A_B", "-5", "One two."]]


# --------------------------------------------------------------------------------------------------------------- checks


def test_every_check_has_a_section_and_no_other_has():
    assert [heading for heading in sections("docs/checks.rst") if "." in heading] == list(CHECKS)


@pytest.mark.parametrize("id_", CHECKS)
def test_a_section_says_what_a_check_means_why_and_what_to_do(id_):
    text = sections("docs/checks.rst")[id_]
    assert plain(text.strip().split("\n\n")[0]) == plain(CHECKS[id_])
    assert "\nWhy: " in text
    assert "\nWhat to do: " in text


def test_every_test_that_the_papers_name_is_there():
    named = re.findall(r"``((?:\w+/)?test_\w+\.py)::(test_\w+)``", (ROOT / "docs/how-it-works.rst").read_text(encoding="utf-8"))
    assert len(named) > 16  # one a decision
    for module, test in named:
        assert f"\ndef {test}(" in (ROOT / "tests" / module).read_text(encoding="utf-8"), f"{module}::{test}"


# --------------------------------------------------------------------------------------------------------------- figures


def test_every_figure_and_page_that_the_papers_show_is_there():
    shown = 0
    for path in [ROOT / "README.rst", *(ROOT / "docs").glob("*.rst")]:
        text = path.read_text(encoding="utf-8")
        targets = re.findall(r"^\.\. (?:image|figure):: (\S+)$", text, re.MULTILINE)
        shown += len(targets)
        targets += [target for target in re.findall(r"<([^<>\s]+\.rst)>`_", text) if "://" not in target]
        for target in targets:
            assert (path.parent / target).is_file(), f"{path.name}: {target}"
    assert shown > 7
