"""Measurements of hfmeta; README.md beside this file says what each command measures and holds the figures."""
