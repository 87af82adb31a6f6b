"""How `make docs` builds the site: Markdown by MyST, furo's theme, nothing fetched from elsewhere."""

project = "mnist-tfx"
copyright = "the mnist-tfx authors"  # noqa: A001 - Sphinx's name
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
# Pages beside docs/ belong to it as well: what links to them is checked alike.
include_patterns = ["docs/**", "CONTRIBUTING.md", "CHANGELOG.md", "*/README.md"]
exclude_patterns = [".*", "build", "components", "mnist_tfx", "pipeline", "runs", "tests"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_use_ivar = True
html_theme = "furo"
html_title = "mnist-tfx"
html_copy_source = False
html_show_sphinx = False
