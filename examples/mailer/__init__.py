"""A small mailer: tells the tenants' people by mail what the meter says in `notifications.v1`."""
