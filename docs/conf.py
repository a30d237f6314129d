"""Sphinx: the pages of this folder, and those that `generate.py` writes from the code."""

import sys
from pathlib import Path


HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from generate import write_all  # noqa: E402


write_all(HERE / "generated")

project = "CrossLens"
author = "the CrossLens contributors"
copyright = "2026, the CrossLens contributors"
extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "How does a reranker decide?", "page_width": "1100px"}
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html"]}
