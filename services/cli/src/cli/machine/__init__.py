"""A machine as a cluster of its own: engines, supervision and the way from nothing to a platform that answers."""
