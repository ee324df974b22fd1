"""``python -m agents.cli`` is ``lang-envs``."""

import sys

from agents.cli import main

sys.exit(main())
