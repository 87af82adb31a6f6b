"""Readers of what somebody else wrote, tried with bytes that nobody foresaw: `make fuzz TARGET=ledger MINUTES=10`.

targets   what is read, by whom, and a file to begin with
outcome   what became of some bytes: an answer, a refusal in our words, or a fault
explore   the coverage-guided search (Atheris, libFuzzer); findings are kept in corpus/
corpus    what was found once, read again by every `make test`
"""
