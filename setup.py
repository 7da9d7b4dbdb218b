"""What pyproject.toml cannot say beside automatic discovery: the top folder `recipes` is installed as `limbeck/recipes`."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["limbeck*"]), "limbeck.recipes"], package_dir={"limbeck.recipes": "recipes"})
