"""`python -m sweep.compare RUN_DIR RUN_DIR …`."""

from sweep.cli.compare import main

if __name__ == "__main__":
    main()
