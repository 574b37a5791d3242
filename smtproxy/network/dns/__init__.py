"""The DNS as this program asks it: one resolver, with a cache, one question for all who ask the same, and budgets."""
