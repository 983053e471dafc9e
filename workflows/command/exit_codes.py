"""How a command ends, for scripts and for `ray job submit`."""

DONE, FAILED, BAD_CONFIGURATION, TOO_MANY_REJECTS, TRAINING_STOPPED = 0, 1, 2, 3, 4
MEANINGS = (
    "exit codes: 0 done; 1 failed, or something could not be fetched or written: the same command goes on from there; "
    "2 bad configuration; 3 too many rejects, or nothing good at all; 4 training stopped before its end"
)
