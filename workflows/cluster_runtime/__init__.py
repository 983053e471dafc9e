"""Ray itself: connecting to it, its pools, its counters, its processes, and whatever is private to a version of it.

Here belongs what must know Ray and no job. How rows stream through it is a matter of `workflows.streaming`.
"""
