"""What runs in the engine's pods of the harness, beside the product."""
