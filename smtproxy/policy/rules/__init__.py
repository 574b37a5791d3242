"""Rules of the administrator's own: an expression in CEL on the evidence, and what follows where it is true."""
