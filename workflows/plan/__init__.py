"""`v2a plan`: what a job will take on machines that need not be there: time, money, and which machines to take.

Here belong the command and how it asks a job for a sample. What a sample is measured with lies in
`workflows.streaming`, what is computed from it in `workflows.costing`.
"""
