"""The one frame of the jobs that stream rows through Ray: plan, chain, run, progress, summary, estimate, watchdog.

Here belongs what embed, generate and evaluate have in common. What is theirs alone lies in their folders, and what is
Ray's in `workflows.cluster_runtime`.
"""
