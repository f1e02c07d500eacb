"""Model and adapter config → tokenizer, base, adapter and head; the parameter account."""
