"""The policy: from evidence to a verdict, by pure functions. A finding is no action; configuration says which."""
