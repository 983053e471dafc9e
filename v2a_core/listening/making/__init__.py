"""Making a listening test: which items and in which orders, sounds of one loudness, and the page that people open.

Here belongs all that happens before somebody listens. What is blind, blind names and the key aside, is known to `key`
alone; the page, the names of its files and their contents must not tell one system from another.
"""
