# amn-scanner in a container: built for the platform it is asked for (amd64, arm64), run by nobody special, on a root
# file system that may be read-only. Postgres runs elsewhere (docker-compose.yml): AMN_DATABASE__URL says where.

FROM rust:1.95-bookworm AS build
# The image's own compiler, whatever rust-toolchain.toml calls stable today.
ENV RUSTUP_TOOLCHAIN=1.95.0
# Queries are checked against what is committed in .sqlx.
ENV SQLX_OFFLINE=true
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --package amn-scanner --bin amn-scanner \
    && cp target/release/amn-scanner /usr/local/bin/amn-scanner

FROM debian:bookworm-slim
# Other people's nodes and receivers are reached by TLS.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/amn-scanner --create-home amn
COPY --from=build /usr/local/bin/amn-scanner /usr/local/bin/amn-scanner
COPY amn-scanner.toml /etc/amn-scanner/amn-scanner.toml
ENV AMN_SERVER__LISTEN=0.0.0.0:8080
ENV AMN_LOG__FORMAT=json
ENV AMN_STATE_DIR=/var/lib/amn-scanner
USER 10001
WORKDIR /var/lib/amn-scanner
VOLUME /var/lib/amn-scanner
EXPOSE 8080
STOPSIGNAL SIGTERM
# Alive, not ready: a network that lags is no reason to kill the daemon. /readyz is for who sends it traffic.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200'"]
ENTRYPOINT ["amn-scanner"]
CMD ["run", "--config", "/etc/amn-scanner/amn-scanner.toml"]
