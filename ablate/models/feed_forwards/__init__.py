"""Feed-forwards: how channels mix."""
