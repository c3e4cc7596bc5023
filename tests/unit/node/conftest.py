"""How the property-based tests run: as long as they take, since a busy machine is no failure."""

from hypothesis import settings

settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")
