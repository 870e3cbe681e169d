# One image for every process; docker-compose.yml says which command each runs.
FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY campaigns campaigns
COPY workers workers
COPY migrations migrations
RUN python -m venv /opt/outbound \
 && /opt/outbound/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
 && /opt/outbound/bin/pip install --no-cache-dir "setuptools>=77" \
 && /opt/outbound/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --system --create-home --uid 10001 outbound
COPY --from=build /opt/outbound /opt/outbound
ENV PATH=/opt/outbound/bin:$PATH PYTHONUNBUFFERED=1
USER outbound
WORKDIR /home/outbound
CMD ["outbound", "--help"]
