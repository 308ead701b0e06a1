"""From a mel spectrogram back to sound without the checkpoint's vocoder.

First the linear spectrum (`spectrum.py`), then its phase (`griffin_lim.py`).
"""
