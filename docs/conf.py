"""Settings of Sphinx. From the root of the repository::

    sphinx-build -W --keep-going -b html docs docs/_build/html

A build needs no network, and neither do its pages. With SHIFTLEARN_DOCS_LINKS=1 in the environment it fetches the
inventories of other projects, and names of torch, NumPy and scikit-learn become links.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for architecture.py, order.py
os.environ["OMP_NUM_THREADS"] = "1"  # the examples' networks are small; read when torch is imported

import architecture

import shiftlearn

architecture.draw(Path(__file__).parent / "_static" / "architecture.png")

project = "shiftlearn"
author = "The shiftlearn developers"
version = release = shiftlearn.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_design",
    "sphinx-mathjax-offline",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery/**/*.ipynb", "gallery/**/*.py", "gallery/**/*.md5"]

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "member-order": "bysource",
    "exclude-members": "extra_repr",
}
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_attr_annotations = False
python_maximum_signature_line_length = 90
toc_object_entries_show_parents = "hide"

intersphinx_mapping = (
    {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
    }
    if os.environ.get("SHIFTLEARN_DOCS_LINKS")
    else {}
)

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": "order.as_listed",
    "abort_on_example_error": True,
    "ignore_pattern": r"__init__",
    "show_memory": False,
    "show_signature": False,
    "copyfile_regex": r"",
    "image_srcset": ["2x"],
    "plot_gallery": "True",
}


html_theme = "pydata_sphinx_theme"
html_title = "shiftlearn"
html_static_path = ["_static"]
html_css_files = ["shiftlearn.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": {"index": [], "**": ["page-toc"]},
    "footer_start": ["copyright"],
    "footer_end": [],
    "header_links_before_dropdown": 5,
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
# Only the gallery and the reference have pages below them.
_SINGLE = (
    "index",
    "start",
    "extend",
    "architecture",
    "mathematics",
    "results",
    "performance",
    "depth",
    "published",
    "faq",
    "changelog",
)
html_sidebars = {page: [] for page in _SINGLE}
copyright = "2026, the shiftlearn developers. MIT licence"
