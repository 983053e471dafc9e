"""The command line: one table of commands, and the exits. What a command does lies in the folder of its job."""
