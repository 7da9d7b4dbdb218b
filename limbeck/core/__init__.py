"""The mathematics of one step: signals, actors, terms, adapters, schedules, and the criterion that combines them."""
