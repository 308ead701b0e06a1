"""Metrics: pure functions on arrays, and the evaluation that applies them to folders of audio.

Every metric module has the same contract: its docstring says what it measures, its conventions
and its metrics; `validate` refuses bad input; one pure function a metric; `evaluate` returns all
of them in a fixed order.

    frechet, kernel, manifold, diversity     sets of embeddings
    divergence                               logits of a classifier
    text_audio, music_qa                     clips and their prompts
    novelty, alignment                       clips and the training set
    obedience, health                        what was asked for, and the signal itself
    moments, statistics                      streaming covariances; intervals and tests

    clips -> analysis -> scoring, families -> evaluation -> report, card, compare
    banking -> neighbours -> novelty_report
"""
