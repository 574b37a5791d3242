"""The policy: from evidence to a verdict, by pure functions. A finding is not an action; configuration says what follows."""
