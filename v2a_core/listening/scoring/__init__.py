"""Scoring a listening test: answers of all listeners, whoever kept them, become tables and plots.

Here belongs all that happens after people listened. Files come from strangers: a broken, foreign or doubled one is
listed with why and never fatal. The statistics themselves are those of the folder above.
"""
