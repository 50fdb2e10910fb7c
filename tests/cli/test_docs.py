"""What the documentation names exists: commands, options, PROTOCOL entries, targets, files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spg.cli import main

ROOT = Path(__file__).parents[2]
TOP = ("README.md", "CONTRIBUTING.md", "PROTOCOL.md")
PAGES = [*(ROOT / name for name in TOP), *sorted(ROOT.glob("docs/*.md"))]
ENTRIES = {
    int(number)
    for number in re.findall(r"^## (\d+)\.", (ROOT / "PROTOCOL.md").read_text("utf-8"), flags=re.M)
}
TARGETS = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text("utf-8"), flags=re.M))


def pages():
    return pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def code_of(page: Path) -> list[str]:
    """Lines of code blocks, continued ones joined, and inline code."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"```[^\n]*\n(.*?)```", text, flags=re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    outside = re.sub(r"```.*?```", "", text, flags=re.S)
    return lines + [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", outside)]


@pages()
def test_commands_and_their_options_exist(page):
    for line in code_of(page):
        for found in re.finditer(r"(?:^|[;&|] |=\S+ )spg ([a-z][a-z-]*)([^;&|#]*)", line):
            name, rest = found.groups()
            assert name in main.commands, line
            known = {o for p in main.commands[name].params for o in (*p.opts, *p.secondary_opts)}
            assert set(re.findall(r"(?<!\S)(--[a-z-]+)", rest)) <= known | {"--help"}, line


@pages()
def test_targets_of_make_exist(page):
    for line in code_of(page):
        for target in re.findall(r"(?:^|[;&|] )make ([a-z][\w-]*)", line):
            assert target in TARGETS, line


@pages()
def test_entries_of_the_protocol_exist(page):
    text = page.read_text("utf-8")
    for numbers in re.findall(r"PROTOCOL(?:\.md\)?)?,? ((?:\d+(?:, | and | to )?)+)", text):
        assert {int(number) for number in re.findall(r"\d+", numbers)} <= ENTRIES, numbers


@pages()
def test_relative_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), target
