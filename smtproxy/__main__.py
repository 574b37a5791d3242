"""`python -m smtproxy`: the same as the command `smtproxy`. Must never hold any logic of its own."""

from smtproxy.app.cli import main

raise SystemExit(main())
