"""REST of the dialect: the views, and what they have in common."""
