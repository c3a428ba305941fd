"""The dialect of Supabase: its unmodified JavaScript client finds here what it expects of its own server."""
