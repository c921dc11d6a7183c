"""``python -m fleetctl`` is ``fleetctl``."""

import sys

from fleetctl.cli import main

sys.exit(main())
