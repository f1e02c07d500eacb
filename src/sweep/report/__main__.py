"""`python -m sweep.report RUN_DIR`, another name of `sweep report`."""

from importlib import import_module

if __name__ == "__main__":
    import_module("sweep.cli.report").main()  # by name: commands belong to a package above this one
