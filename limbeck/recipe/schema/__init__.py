"""The fields of a recipe, each checked and turned into the part that it describes."""
