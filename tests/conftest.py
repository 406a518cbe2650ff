"""For all tests: Hypothesis measures no time, and prints what reproduces a failure."""

from hypothesis import settings

settings.register_profile("hoosh", deadline=None, print_blob=True)
settings.load_profile("hoosh")
