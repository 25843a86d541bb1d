"""Command lines: what both programs accept alike, and an error that is one line."""

import argparse


class Parser(argparse.ArgumentParser):
    def __init__(self, **about):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **about)
        self.add_argument("--duplex", metavar="FILE", help="the program (target/release/duplex, built if it is not there)")
        self.add_argument("--pgbin", metavar="DIR", help="PostgreSQL's programs (Debian's, version 15 first)")
        self.add_argument("--dir", metavar="DIR", default="/var/tmp", help="where data goes: a real disk (/var/tmp)")
        self.add_argument("--keep", action="store_true", help="keep the directory with data and logs")

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}\n")


def numbers(text):
    try:
        found = [int(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers") from None
    if min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: every number must be at least 1")
    return found


def clients(text):
    found = numbers(text)
    if max(found) > 64:
        raise argparse.ArgumentTypeError(f"{max(found)}: at most 64, the seats of the pair")
    return found


def positive(text):
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)
