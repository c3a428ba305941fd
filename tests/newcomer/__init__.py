"""What somebody meets who has just cloned the project and does what the documents say."""
