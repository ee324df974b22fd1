"""Results of many runs on one page: methods by tasks, beside what is not trained and what papers report."""
