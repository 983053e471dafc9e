"""Soundtracks for silent video: the jobs, on Ray."""

import v2a_core  # noqa: F401  # it prepares a process before torch is imported; Ray's libraries import torch
