"""What all tests share."""

from hypothesis import settings

# A busy machine is not a failed test.
settings.register_profile("mec", deadline=None)
settings.load_profile("mec")
