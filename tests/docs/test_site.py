"""The site builds without a warning: no dead link, no missing page, no anchor that leads nowhere."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys

import pytest

import limbeck
from docs.generate import api
from limbeck import objectives
from tests.docs.pages import ROOT

needs_mkdocs = pytest.mark.skipif(importlib.util.find_spec("material") is None, reason="mkdocs-material is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built with strict checks."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    assert done.returncode == 0, done.stderr
    return folder


@needs_mkdocs
def test_every_objective_has_a_page_and_the_search_knows_it(site):
    found = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
    addresses = {entry["location"].partition("#")[0] for entry in found}
    assert {f"methods/{name}.html" for name in objectives.names()} <= addresses
    assert not any("generate" in address for address in addresses)


@needs_mkdocs
def test_nothing_is_fetched_from_the_net(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|iframe)[^>]+src="https?:[^"]+"', text), page
        assert not re.findall(r'<link[^>]+rel="(?:stylesheet|preconnect|icon)"[^>]+href="https?:[^"]+"', text), page


@needs_mkdocs
def test_only_pages_of_the_site_are_published(site):
    assert not list(site.rglob("*.py"))


def test_every_public_name_is_in_the_reference():
    modules = {"models", "objectives"}  # these have pages of their own
    assert set(limbeck.__all__) - modules <= api.public()
