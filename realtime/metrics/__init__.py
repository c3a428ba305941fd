"""What is counted, and how the workers of a service show their numbers together."""
