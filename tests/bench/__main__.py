"""``python -m bench``, from the folder `tests`."""

import sys

from bench.run import main

sys.exit(main(sys.argv[1:]))
