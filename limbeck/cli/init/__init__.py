"""`limbeck init`: a recipe for a user's own model and data."""
