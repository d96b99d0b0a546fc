"""`python -m hfmeta`, and with it `torchrun ... -m hfmeta train ...`, is the command line."""

from hfmeta.cli import app

if __name__ == "__main__":
    app(prog_name="hfmeta")
