"""What a streaming job takes: time, money, requests, storage, memory, from what a sample of it took.

Here belongs the model, which computes and measures nothing, and the file that says what machines there are. What is
measured comes from `workflows.streaming`; a dry run asks for this machine, `v2a plan` for the machines of its file.
"""
