"""Any input at all: a sentence and the right exit code. Short with the other tests, long by ``make fuzz``."""
