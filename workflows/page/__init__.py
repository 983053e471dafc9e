"""`v2a page`: a page to listen to. Only the command and its settings; the page is made in `v2a_core.report`."""
