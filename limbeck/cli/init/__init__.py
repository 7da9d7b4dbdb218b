"""`limbeck init`: writes a recipe for the user's model and data."""
