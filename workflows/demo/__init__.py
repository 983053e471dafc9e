"""`v2a demo`: all jobs in a row on a small catalog, and a page. It calls jobs and does nothing that they cannot."""
