"""What mkdocs calls while it builds: pages that are made from the code join those that are written by hand."""

from __future__ import annotations

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parents[2]))  # mkdocs loads this file by its path

from docs.generate import site


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.nav = site.navigation(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for address, text in site.pages().items():
        files.append(File.generated(config, address, content=text))
    return files
