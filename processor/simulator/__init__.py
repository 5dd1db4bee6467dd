"""A telephony platform that emits realistic usage: for the demo, for tests and for load."""
