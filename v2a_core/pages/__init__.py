"""What all pages have in common: head, colours, tables, and how a template becomes one file that loads nothing.

Here belongs what more than one page has. What a page shows, with its own template, style and script, belongs to the
room that knows of it.
"""

from v2a_core.pages.render import render

__all__ = ["render"]
