"""What all tests share."""

import os
import signal

from hypothesis import settings

# The workers of pytest-xdist take a core each. Torch, which is imported after this, must not start threads on top: with
# as many processes as cores they would wait for one another most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("gradlab", deadline=None)  # machines are shared: time says nothing about correctness
settings.load_profile("gradlab")

# Whoever starts the tests with nohup has SIGHUP ignored, also in the processes that tests start and end with it.
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
