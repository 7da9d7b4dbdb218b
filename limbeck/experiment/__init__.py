"""The Python API of the whole job: train student and control, then judge both."""
