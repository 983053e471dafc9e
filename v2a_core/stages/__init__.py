"""The steps of the jobs, each from a table of rows to a table of rows: decode, embed, map, generate, finish, listen.

A stage knows nothing of what runs it, be it Ray or a loop. It joins components of the kinds' rooms to columns of
`tables`; an algorithm of its own belongs to the component.
"""
