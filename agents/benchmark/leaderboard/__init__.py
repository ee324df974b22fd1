"""Shows results of many runs on one page: a table of methods by tasks, with scripted policies and papers' figures."""
