"""Model and adapter config → tokenizer, base (quantised or not), adapter and head; the parameter
account."""

import logging

# bitsandbytes comes in with PEFT, and on a CPU it warns that an optional package is not there.
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(lambda row: "kernels-community" not in row.getMessage())
