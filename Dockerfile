# Stages: one installs and builds; what is shipped holds the runtime, the built files and nothing else
# (no shell, no package manager). `--target low-ports` makes the image that may open ports below 1024
# on the host's network; the default one carries no capability.
# The base images are named here; the release workflow looks their digests up, builds from exactly
# those (NODE_IMAGE, RUNTIME_IMAGE) and refuses a name without a digest.
ARG NODE_IMAGE=node:26-bookworm-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${NODE_IMAGE} AS build
WORKDIR /app
RUN apt-get -o Acquire::Retries=3 update \
  && apt-get -o Acquire::Retries=3 install -y --no-install-recommends libcap2-bin libatomic1 \
  && rm -rf /var/lib/apt/lists/*
COPY package.json package-lock.json ./
COPY scripts/check-runtime.mjs scripts/
RUN npm ci --no-audit --no-fund --fetch-retries 5
COPY . .
RUN npm run build
RUN mkdir -p /image/app /plain/usr/local/bin /low-ports/usr/local/bin \
  && cp /usr/local/bin/node /plain/usr/local/bin/node \
  && cp /usr/local/bin/node /low-ports/usr/local/bin/node \
  && cp --parents /usr/lib/*-linux-gnu/libatomic.so.1* /image/ \
  && setcap cap_net_bind_service=+ep /low-ports/usr/local/bin/node \
  && cp -r bin dist package.json LICENSE config.example.yaml config.schema.json /image/app/

FROM ${RUNTIME_IMAGE} AS runtime
COPY --from=build /image/ /
WORKDIR /app
ENV NODE_ENV=production
# The base image's user without rights; by number, so that orchestrators see that it is not root.
USER 65532:65532
EXPOSE 1936
# The stats port answers /healthz; `healthcheck` asks it, so the image needs no curl.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
  CMD ["/usr/local/bin/node", "/app/bin/upriver.mjs", "healthcheck"]
# SIGUSR1 would open Node's inspector.
ENTRYPOINT ["/usr/local/bin/node", "--disable-sigusr1", "--max-semi-space-size=8", "/app/bin/upriver.mjs"]
CMD ["run"]

# The file capability lets the non-root user open ports below 1024 on the host's network, where
# Docker's own relaxation of that limit does not reach. See "In a container" in the README.
FROM runtime AS low-ports
COPY --from=build /low-ports/ /

# What `docker build` makes without --target.
FROM runtime
COPY --from=build /plain/ /
