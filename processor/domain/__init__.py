"""The billing rules: pure functions over plain data, without Kafka, clock, settings or metrics."""
