"""What every command has in common: options made from settings, access to storage, exit codes.

What one command alone has belongs to the folder of its job.
"""
