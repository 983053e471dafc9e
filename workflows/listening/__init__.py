"""`v2a listening`: a listening test, made and scored. Only the command and its settings: see `v2a_core.listening`."""
