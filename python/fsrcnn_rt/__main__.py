"""``python -m fsrcnn_rt`` is ``fsrcnn-rt``."""

import sys

from fsrcnn_rt.cli import main

sys.exit(main())
