# The web demo in a container.
#
#   docker build -t musicgen-ldm .                                   # CPU
#   docker build -t musicgen-ldm --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .
#   docker run --rm -p 127.0.0.1:7860:7860 -v music:/outputs musicgen-ldm
#   docker run --rm --gpus all …                                     # with an NVIDIA GPU
#   docker build --build-arg SOUNDFONTS=1 …         # 190 MB more: the page plays training clips
FROM python:3.11-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1

# Instruments of the built-in corpus, whose pieces the page composes again beside a take.
ARG SOUNDFONTS=
RUN [ -z "$SOUNDFONTS" ] || { apt-get update && apt-get install -y --no-install-recommends \
    fluid-soundfont-gm musescore-general-soundfont-small fluidr3mono-gm-soundfont \
    sonic-pi-samples && rm -rf /var/lib/apt/lists/*; }

WORKDIR /app
COPY constraints constraints
RUN pip install --extra-index-url "$TORCH_INDEX" -c constraints/known-good.txt torch
COPY setup.cfg pyproject.toml README.md LICENSE app.py ./
COPY musicgen_ldm musicgen_ldm
COPY checkpoints checkpoints
RUN pip install --extra-index-url "$TORCH_INDEX" -c constraints/known-good.txt ".[demo,corpus]" \
    && pip install -c constraints/known-good.txt --no-deps tinysoundfont \
    && useradd --create-home musician && mkdir /outputs && chown musician /outputs
USER musician
VOLUME /outputs
EXPOSE 7860
HEALTHCHECK CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/health')"
# Inside the container all addresses are listened to; what the world sees is -p's business.
ENTRYPOINT ["python", "app.py", "--host", "0.0.0.0", "--outputs", "/outputs"]
