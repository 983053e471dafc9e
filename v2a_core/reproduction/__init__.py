"""The paper in tables: its rows and published numbers as data, ours beside them, and whether its orderings hold.

Here belong what the paper says, what is chosen of it, verdicts, and how tables and the page are written. What trains,
makes and scores belongs to the jobs, and their order to `workflows.reproduce`.
"""
