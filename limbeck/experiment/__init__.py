"""The Python API of the whole job: plan the arms, train them, evaluate what they gave."""
