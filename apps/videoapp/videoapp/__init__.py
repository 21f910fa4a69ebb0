"""videoapp: a video library that remembers, on its PV, how far each user has watched."""
