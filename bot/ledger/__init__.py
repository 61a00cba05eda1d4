"""Double entry in billionths of a credit: append only, proved by ``verify``. The only code that changes a balance."""
