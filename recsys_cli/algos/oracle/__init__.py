"""The oracle: a policy that knows the hidden state."""
