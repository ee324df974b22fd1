"""Makes ``python -m agents.cli`` the same as ``lang-envs``."""

import sys

from agents.cli import main

sys.exit(main())
