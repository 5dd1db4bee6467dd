"""The payment worker: asks a provider to charge what auto-pay requests and publishes each answer once."""
