"""The files that ship the server are valid, agree with each other, and describe what starts."""
