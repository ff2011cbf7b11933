# Build: the compiler, libtorch (checksums pinned by the script), the binary.
FROM rust:1.92-bookworm AS build
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
FROM debian:bookworm-slim
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
