# Both images are pinned by digest; to take corrections, take the tag's newer digest (docker buildx imagetools inspect NAME:TAG).
# Build: the compiler, libtorch (checksums pinned by the script), the binary, the list of what it is made of.
FROM rust:1.92-bookworm@sha256:e90e846de4124376164ddfbaab4b0774c7bdeef5e738866295e5a90a34a307a2 AS build
# Whatever the distribution has today: its corrections are wanted.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-pip && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY deploy/setup/libtorch.sh deploy/setup/libtorch.sh
RUN deploy/setup/libtorch.sh
RUN cargo install cargo-cyclonedx --locked --version 0.5.9
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
COPY migrations migrations
COPY src src
RUN cargo build --release --locked && mkdir -p /image/bin /image/lib && strip -o /image/bin/nerd target/release/nerd && cp -L .deps/libtorch/lib/*.so* /image/lib/
COPY models models
COPY deploy/supply-chain/sbom.py deploy/supply-chain/sbom.py
RUN deploy/supply-chain/sbom.py /image/sbom.cdx.json

# Run: the binary finds its libraries beside itself (rpath $ORIGIN/../lib). No shell is needed, no file is written.
FROM debian:bookworm-20260824-slim@sha256:88200866dfff7ea7f5cbcb6ec7c8a701889efe6fe859fe64d6990e4b07ea4171
LABEL org.opencontainers.image.title="nerd" \
    org.opencontainers.image.description="The NER daemon: keeps a named-entity model resident and annotates the articles of a PostgreSQL database" \
    org.opencontainers.image.licenses="Apache-2.0"
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home nerd
COPY --from=build /image /opt/nerd
COPY models /opt/nerd/models
COPY config /opt/nerd/config
WORKDIR /opt/nerd
USER 10001
# In a container the port is published on purpose, so it listens on every address of the container's own network.
ENV NERD_HTTP_ADDRESS=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["/opt/nerd/bin/nerd", "health", "--log-level", "error"]
ENTRYPOINT ["/opt/nerd/bin/nerd"]
CMD ["run"]
