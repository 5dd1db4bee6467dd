"""A real Kafka broker without Docker, for the demo and the tests; never part of a production install."""
