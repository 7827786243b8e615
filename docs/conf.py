"""Sphinx configuration; a warning is an error in continuous integration."""

from trustkit import __version__

project = "trustkit"
author = "The trustkit authors"
project_copyright = "The trustkit authors, Apache-2.0"
version = release = __version__

extensions = ["myst_parser"]
exclude_patterns = ["_build", "deploy"]
html_extra_path = ["reference/report.schema.json"]
html_theme = "furo"
html_title = f"trustkit {version}"
html_show_sphinx = False
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
