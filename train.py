"""Entry point of the application; `python train.py --help` lists the commands."""

from app.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
