"""Who is asking: users, their sessions, and the one function that turns a credential into a person."""
