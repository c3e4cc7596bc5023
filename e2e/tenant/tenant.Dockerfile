# A tenant's agent with WebSockets, Redis and PostgreSQL, and the driver of its customers' load. Built from the repository's root:
# docker build -f e2e/tenant/tenant.Dockerfile .
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS dependencies
# How pip reaches its index is the builder's affair and stays out of the image.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_PROXY
ARG PIP_TIMEOUT
ARG PIP_RETRIES
WORKDIR /build
COPY constraints.txt pyproject.toml ./
RUN python -m venv /venv \
 && python -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['tenant']))" > requirements.txt \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt -r requirements.txt \
 && /venv/bin/pip uninstall -y --disable-pip-version-check setuptools pip

FROM ${BASE_IMAGE}
COPY --from=dependencies /venv /venv
COPY e2e/tenant /app/e2e/tenant
COPY e2e/load /app/e2e/load
COPY operator/tenantquota/node/scheduling.py /app/tenantquota/node/
RUN /venv/bin/python -m compileall -q /app
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["python", "-m", "e2e.tenant"]
