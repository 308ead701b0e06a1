"""Beat-synchronous mixup: who is paired, how the beats meet, what comes out."""
